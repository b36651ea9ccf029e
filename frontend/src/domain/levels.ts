/** The five air-quality levels and what stands for each besides its colour. */

export const LEVELS = ["excellent", "good", "moderate", "poor", "very_poor"] as const;

export type Level = (typeof LEVELS)[number];

export type LevelShape = "circle" | "square" | "triangle" | "diamond" | "octagon";

export interface LevelMark {
  letter: "A" | "B" | "C" | "D" | "E";
  shape: LevelShape;
  scoreMin: number;
}

export const LEVEL_MARKS: Readonly<Record<Level, LevelMark>> = {
  excellent: { letter: "A", shape: "circle", scoreMin: 90 },
  good: { letter: "B", shape: "square", scoreMin: 70 },
  moderate: { letter: "C", shape: "triangle", scoreMin: 50 },
  poor: { letter: "D", shape: "diamond", scoreMin: 30 },
  very_poor: { letter: "E", shape: "octagon", scoreMin: 0 },
};

export function isLevel(name: unknown): name is Level {
  return typeof name === "string" && Object.hasOwn(LEVEL_MARKS, name);
}

export function levelOfScore(score: number): Level {
  return LEVELS.find((level) => score >= LEVEL_MARKS[level].scoreMin) ?? "very_poor";
}

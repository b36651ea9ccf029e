/** Names floating over the boxes: plain DOM text, because the names come from devices. */

import type { PerspectiveCamera, Vector3 } from "three";

/** What fits on a room as wide as this on the screen; the letter is last to go, as colour alone says too little. */
const NAME_WIDTH_MIN_PX = 72;
const SCORE_WIDTH_MIN_PX = 40;
const LETTER_WIDTH_MIN_PX = 14;

export interface Label {
  name: string;
  /** Empty for a place that has no level, whose name is then shown at any size. */
  letter: string;
  score: string;
}

interface PlacedLabel {
  element: HTMLElement;
  letter: HTMLElement;
  score: HTMLElement;
  name: HTMLElement;
  leftEdge: Vector3;
  rightEdge: Vector3;
}

export class RoomLabels {
  private readonly labels = new Map<string, PlacedLabel>();

  constructor(private readonly layer: HTMLElement) {}

  place(key: string, label: Label, leftEdge: Vector3, rightEdge: Vector3): void {
    const element = document.createElement("div");
    element.className = "room-label";
    const mark = document.createElement("div");
    const letter = document.createElement("strong");
    const score = document.createElement("span");
    const name = document.createElement("span");
    mark.append(letter, score);
    element.append(mark, name);
    this.layer.append(element);
    this.labels.set(key, { element, letter, score, name, leftEdge, rightEdge });
    this.update(key, label);
  }

  update(key: string, label: Label): void {
    const placed = this.labels.get(key);
    if (placed === undefined) return;
    for (const part of ["name", "letter", "score"] as const) {
      if (placed[part].textContent !== label[part]) placed[part].textContent = label[part];
    }
  }

  project(camera: PerspectiveCamera, widthPx: number, heightPx: number): void {
    for (const { element, letter, score, name, leftEdge, rightEdge } of this.labels.values()) {
      const left = leftEdge.clone().project(camera);
      const right = rightEdge.clone().project(camera);
      const outside =
        left.z > 1 || right.z > 1 || Math.abs(left.x + right.x) > 2.2 || Math.abs(left.y + right.y) > 2.2;
      const roomWidthPx = (Math.hypot((right.x - left.x) * widthPx, (right.y - left.y) * heightPx) / 2) * 0.9;
      const leveled = letter.textContent !== "";
      element.hidden = outside || (leveled && roomWidthPx < LETTER_WIDTH_MIN_PX);
      if (element.hidden) continue;
      score.hidden = roomWidthPx < SCORE_WIDTH_MIN_PX;
      name.hidden = leveled && roomWidthPx < NAME_WIDTH_MIN_PX;
      const xPx = ((left.x + right.x + 2) / 4) * widthPx;
      const yPx = ((2 - left.y - right.y) / 4) * heightPx;
      element.style.maxWidth = `${roomWidthPx}px`;
      element.style.transform = `translate(-50%, -50%) translate(${xPx}px, ${yPx}px)`;
    }
  }

  clear(): void {
    for (const { element } of this.labels.values()) element.remove();
    this.labels.clear();
  }
}

import { expect, test } from "vitest";
import { SeriesBuffer } from "../live/series-buffer";
import { type ChartLine, chartLine } from "./chart-lines";
import { summarise } from "./line-summary";

function line(points: readonly [second: number, co2: number | undefined][]): ChartLine {
  const buffer = new SeriesBuffer();
  for (const [second, co2] of points) buffer.insert(second * 1_000, co2 === undefined ? {} : { co2 });
  return chartLine("bureau1", "co2", buffer.columnsSince(0));
}

test("evenly spaced readings make an unbroken line", () => {
  expect(
    line([
      [0, 1],
      [300, 2],
      [600, 3],
    ]).values,
  ).toEqual([1, 2, 3]);
});

test("a silence much longer than the usual interval breaks the line", () => {
  const broken = line([
    [0, 1],
    [10, 2],
    [20, 3],
    [120, 4],
    [130, 5],
  ]);
  expect(broken.values).toEqual([1, 2, 3, null, 4, 5]);
  expect(broken.timesMs[3]).toBe(70_000);
});

test("a few seconds' hiccup of a fast sensor is no hole", () => {
  expect(
    line([
      [0, 1],
      [1, 2],
      [2, 3],
      [12, 4],
    ]).values,
  ).toEqual([1, 2, 3, 4]);
});

test("readings without the quantity are not points of its line", () => {
  expect(
    line([
      [0, 1],
      [10, undefined],
      [20, 3],
    ]).values,
  ).toEqual([1, 3]);
});

test.each([
  ["rising", [400, 400, 400, 400, 500, 600, 700, 800]],
  ["falling", [800, 700, 600, 500, 400, 400, 300, 200]],
  ["steady", [600, 601, 599, 600, 600, 601, 599, 600]],
])("%s", (trend, values) => {
  expect(summarise(line(values.map((value, index) => [index, value])))?.trend).toBe(trend);
});

test("the summary names last, lowest and highest, and nothing for an empty line", () => {
  expect(
    summarise(
      line([
        [0, 500],
        [1, 900],
        [2, 700],
      ]),
    ),
  ).toMatchObject({ last: 700, minimum: 500, maximum: 900 });
  expect(summarise(line([]))).toBeUndefined();
});

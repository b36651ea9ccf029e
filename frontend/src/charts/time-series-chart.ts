/** A uPlot canvas in a host element: sized to it, themed by its CSS, drawn once per frame at most. */

import "uplot/dist/uPlot.min.css";
import uPlot from "uplot";
import { MAIN_QUANTITIES, type MainQuantity } from "../domain/quantities";
import { formatClock } from "../format/time";
import { formatTick } from "../format/units";
import { frameBatch } from "../live/frame-batch";
import type { ChartLine } from "./chart-lines";

const HEIGHT_PX = 180;
/** Charts with the same key show the same instant under the pointer. */
const CURSOR_SYNC_KEY = "room";
/** The axis never spans less, or a sensor's noise would look like a drama. */
const AXIS_SPAN_MIN: Readonly<Record<MainQuantity, number>> = {
  co2: 200,
  pm25: 10,
  tvoc: 100,
  temperature: 4,
  humidity: 10,
};
/** Room left above and below the line. */
const AXIS_PADDING_SHARE = 0.08;

const LINE_COLOURS = ["--line-1", "--line-2", "--line-3", "--line-4"] as const;
/** Told apart without colour, too. */
const LINE_DASHES: readonly (readonly number[])[] = [[], [6, 4], [2, 3], [10, 3, 2, 3]];

export interface ChartContent {
  lines: readonly ChartLine[];
  fromMs: number;
  untilMs: number;
}

export interface ChartOptions {
  locale: string;
  /** Called with the time under the pointer, and undefined when it leaves. */
  onHover: (atMs: number | undefined) => void;
}

export class TimeSeriesChart {
  private chart: uPlot | undefined;
  private content: ChartContent = { lines: [], fromMs: 0, untilMs: 1 };
  private shape = "";
  private readonly draw = frameBatch(() => this.drawNow());
  private readonly resizes = new ResizeObserver(() => this.resize());
  private readonly darkScheme = matchMedia("(prefers-color-scheme: dark)");

  constructor(
    private readonly host: HTMLElement,
    private options: ChartOptions,
  ) {
    this.resizes.observe(host);
    this.darkScheme.addEventListener("change", this.rebuild);
  }

  show(content: ChartContent): void {
    this.content = content;
    this.draw.request();
  }

  setLocale(locale: string): void {
    this.options = { ...this.options, locale };
    this.rebuild();
  }

  destroy(): void {
    this.draw.cancel();
    this.resizes.disconnect();
    this.darkScheme.removeEventListener("change", this.rebuild);
    this.chart?.destroy();
  }

  private drawNow(): void {
    const { lines, fromMs, untilMs } = this.content;
    const shape = JSON.stringify(lines.map(({ name, quantity }) => [name, quantity]));
    if (this.chart === undefined || shape !== this.shape) {
      this.chart?.destroy();
      this.shape = shape;
      this.chart = new uPlot(this.plotOptions(), alignedData(lines), this.host);
    } else {
      this.chart.setData(alignedData(lines), false);
    }
    this.chart.setScale("x", { min: fromMs / 1000, max: untilMs / 1000 });
  }

  private readonly rebuild = (): void => {
    this.shape = "";
    this.draw.request();
  };

  private resize(): void {
    const width = this.host.clientWidth;
    if (width > 0) this.chart?.setSize({ width, height: HEIGHT_PX });
  }

  private plotOptions(): uPlot.Options {
    const style = getComputedStyle(this.host);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const quantities = MAIN_QUANTITIES.filter((quantity) =>
      this.content.lines.some((line) => line.quantity === quantity),
    );
    const axisLook = { stroke: colour("--text-muted"), grid: { stroke: colour("--grid"), width: 1 } };

    return {
      width: Math.max(1, this.host.clientWidth),
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { sync: { key: CURSOR_SYNC_KEY }, drag: { x: false, y: false } },
      hooks: { setCursor: [(chart) => this.reportHover(chart)] },
      scales: {
        x: { time: true },
        ...Object.fromEntries(quantities.map((quantity) => [quantity, { range: axisRange(quantity) }])),
      },
      axes: [
        {
          ...axisLook,
          values: (_, ticks) => ticks.map((tick) => formatClock(tick * 1000, this.options.locale)),
          space: 70,
        },
        ...quantities.map(
          (quantity, index): uPlot.Axis => ({
            ...axisLook,
            scale: quantity,
            side: index === 0 ? 3 : 1,
            size: 54,
            // Only one axis may draw the grid, or the two would not line up.
            grid: { ...axisLook.grid, show: index === 0 },
            values: (_, ticks) => ticks.map((tick) => formatTick(tick, this.options.locale)),
          }),
        ),
      ],
      series: [
        {},
        ...this.content.lines.map(
          (line, index): uPlot.Series => ({
            label: line.name,
            scale: line.quantity,
            stroke: colour(LINE_COLOURS[index % LINE_COLOURS.length] ?? "--line-1"),
            dash: [...(LINE_DASHES[index % LINE_DASHES.length] ?? [])],
            width: 2,
          }),
        ),
      ],
    };
  }

  private reportHover(chart: uPlot): void {
    const { left } = chart.cursor;
    const outside = left === undefined || left === null || left < 0;
    this.options.onHover(outside ? undefined : chart.posToVal(left, "x") * 1000);
  }
}

function axisRange(quantity: MainQuantity): uPlot.Range.Function {
  return (_, dataMinimum, dataMaximum) => {
    const minimum = dataMinimum ?? 0;
    const maximum = dataMaximum ?? minimum;
    const missing = Math.max(0, AXIS_SPAN_MIN[quantity] - (maximum - minimum)) / 2;
    const padding = AXIS_PADDING_SHARE * (maximum - minimum);
    // Only a temperature can be below zero.
    const lowest = quantity === "temperature" ? Number.NEGATIVE_INFINITY : 0;
    return [Math.max(lowest, minimum - missing - padding), maximum + missing + padding];
  };
}

function alignedData(lines: readonly ChartLine[]): uPlot.AlignedData {
  if (lines.length === 0) return [[]];
  return uPlot.join(
    lines.map((line): uPlot.AlignedData => [line.timesMs.map((atMs) => atMs / 1000), line.values]),
  );
}

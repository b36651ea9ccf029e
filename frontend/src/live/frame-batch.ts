/** Runs a piece of work at most once per drawn frame, however often it is asked for. */

export interface FrameBatch {
  request(): void;
  cancel(): void;
}

/** A hidden tab draws no frames, so the work waits until it is seen again. */
export function frameBatch(work: () => void): FrameBatch {
  let handle: number | undefined;
  return {
    request() {
      handle ??= requestAnimationFrame(() => {
        handle = undefined;
        work();
      });
    },
    cancel() {
      if (handle !== undefined) cancelAnimationFrame(handle);
      handle = undefined;
    },
  };
}

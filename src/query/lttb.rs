//! Largest triangle three buckets: fewer points that draw the same line.
//!
//! Sveinn Steinarsson, "Downsampling Time Series for Visual Representation", University of Iceland,
//! 2013, section 4.2. The points between the first and the last are cut into as many groups as points
//! may stay; of each group the one stays that makes the largest triangle with the point kept before
//! and the average of the group behind.

use std::ops::Range;

/// Points in order, of whatever dimension.
pub(super) trait Series {
    /// A point in the middle of several.
    type Average;

    /// Number of points.
    fn len(&self) -> usize;

    /// The middle of the points of `range`, which is not empty.
    fn average(&self, range: Range<usize>) -> Self::Average;

    /// Area of the triangle of two points and an average, in any unit.
    fn area(&self, kept: usize, candidate: usize, next: &Self::Average) -> f64;
}

/// Positions of the points that stay, ascending: as many as `points` (at least 2), or all when there
/// are no more. The first and the last point are among them.
pub(super) fn lttb<S: Series>(series: &S, points: usize) -> Vec<usize> {
    let len = series.len();
    if points >= len {
        return (0..len).collect();
    }
    let last = len - 1;
    let groups = points.saturating_sub(2);
    // Whole numbers, so that every group has a point whatever the length.
    let begin = |group: usize| 1 + group * (len - 2) / groups.max(1);
    let mut positions = Vec::with_capacity(points);
    let mut kept = 0;
    positions.push(kept);
    for group in 0..groups {
        let behind = if group + 1 < groups {
            begin(group + 1)..begin(group + 2)
        } else {
            last..len
        };
        let next = series.average(behind);
        kept = largest(series, kept, begin(group)..begin(group + 1), &next);
        positions.push(kept);
    }
    positions.push(last);
    positions
}

/// The candidate with the largest triangle, the first among equals.
fn largest<S: Series>(
    series: &S,
    kept: usize,
    candidates: Range<usize>,
    next: &S::Average,
) -> usize {
    let mut largest = candidates.start;
    let mut area_max = f64::NEG_INFINITY;
    for candidate in candidates {
        let area = series.area(kept, candidate, next);
        if area > area_max {
            area_max = area;
            largest = candidate;
        }
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Line(Vec<f64>);

    impl Line {
        #[expect(clippy::cast_precision_loss, reason = "small")]
        fn at(&self, position: usize) -> (f64, f64) {
            (position as f64, self.0[position])
        }
    }

    impl Series for Line {
        type Average = (f64, f64);

        fn len(&self) -> usize {
            self.0.len()
        }

        #[expect(clippy::cast_precision_loss, reason = "small")]
        fn average(&self, range: Range<usize>) -> (f64, f64) {
            let count = range.len() as f64;
            let points = range.map(|position| self.at(position));
            let (x, y) = points.fold((0.0, 0.0), |(x, y), (px, py)| (x + px, y + py));
            (x / count, y / count)
        }

        fn area(&self, kept: usize, candidate: usize, &(cx, cy): &(f64, f64)) -> f64 {
            let ((ax, ay), (bx, by)) = (self.at(kept), self.at(candidate));
            ((ax - cx) * (by - ay) - (ax - bx) * (cy - ay)).abs() / 2.0
        }
    }

    #[test]
    fn of_each_group_the_largest_triangle_stays() {
        // Groups: 1-2, 3-4. From (0, 0): (2, 5) beats (1, 1); from there (3, -5) beats (4, 0).
        let line = Line(vec![0.0, 1.0, 5.0, -5.0, 0.0, 0.0]);
        assert_eq!(lttb(&line, 4), [0, 2, 3, 5]);
    }

    #[test]
    fn a_level_line_keeps_evenly_spread_points() {
        assert_eq!(lttb(&Line(vec![1.0; 9]), 5), [0, 1, 3, 5, 8]);
    }

    #[test]
    fn without_points_none_stay() {
        assert_eq!(lttb(&Line(Vec::new()), 2), [0_usize; 0]);
    }

    proptest! {
        #[test]
        fn as_many_points_as_asked_for_stay_in_order_with_both_ends(
            line in prop::collection::vec(-1e6..1e6, 1..300),
            points in 2..400_usize,
        ) {
            let len = line.len();
            let positions = lttb(&Line(line), points);
            prop_assert_eq!(positions.len(), points.min(len));
            prop_assert!(positions.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(positions[0], 0);
            prop_assert_eq!(*positions.last().unwrap(), len - 1);
        }

        #[test]
        fn a_line_that_is_short_enough_stays_as_it_is(
            line in prop::collection::vec(-1e6..1e6, 0..100),
            more in 0..10_usize,
        ) {
            let len = line.len();
            let positions = lttb(&Line(line), len + more);
            prop_assert_eq!(positions, (0..len).collect::<Vec<_>>());
        }

        #[test]
        fn a_spike_stays(
            mut line in prop::collection::vec(-1.0..1.0, 20..300),
            at in 1..19_usize,
            points in 3..20_usize,
        ) {
            line[at] = 1e6;
            prop_assert!(lttb(&Line(line), points).contains(&at));
        }
    }
}

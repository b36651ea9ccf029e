//! Fewer points that draw the same line: some that are to stay, and between them the largest triangles.
//!
//! Largest triangle three buckets: Sveinn Steinarsson, "Downsampling Time Series for Visual
//! Representation", University of Iceland, 2013, section 4.2. Points are cut into as many groups as
//! points may stay; of each group the one stays that makes the largest triangle with the point kept
//! before and the average of the group behind. Of a group only its extremes are looked at, after Jeroen
//! and Jonas Van Der Donckt and others, "`MinMaxLTTB`", 2023: what stands out is what one looks for.

use smallvec::SmallVec;
use std::ops::Range;

/// Positions of points, of which there are few.
pub(super) type Positions = SmallVec<[usize; 16]>;

/// Points in order, of whatever dimension.
pub(super) trait Series {
    /// A point in the middle of several.
    type Average;

    /// Number of points.
    fn len(&self) -> usize;

    /// The points of `range` that are the least or the greatest of it in some dimension, ascending, each
    /// once. There are none where no dimension has numbers.
    fn extremes(&self, range: Range<usize>) -> Positions;

    /// The middle of the points of `range`, which is not empty.
    fn average(&self, range: Range<usize>) -> Self::Average;

    /// Area of the triangle of two points and an average, in any unit.
    fn area(&self, kept: usize, candidate: usize, next: &Self::Average) -> f64;
}

/// Positions of `count` points, or of all that there are, that lie between the pinned ones, ascending.
/// Those are ascending, each there once; the first and the last point are among them, so nothing lies
/// beyond. Each gap gets its share by the number of its points.
pub(super) fn between<S: Series>(series: &S, pinned: &[usize], count: usize) -> Vec<usize> {
    let total = series.len().saturating_sub(pinned.len());
    let count = count.min(total);
    let mut positions = Vec::with_capacity(count);
    let mut passed = 0;
    // Whole numbers, so that the shares come to the count exactly.
    let share = |passed: usize| passed * count / total.max(1);
    for gap in pinned.windows(2) {
        let &[from, to] = gap else { continue };
        let inner = to - from - 1;
        let points = share(passed + inner) - share(passed);
        triangles(series, from, to, points, &mut positions);
        passed += inner;
    }
    positions
}

/// Adds as many points as `groups` that lie between two others.
fn triangles<S: Series>(
    series: &S,
    from: usize,
    to: usize,
    groups: usize,
    positions: &mut Vec<usize>,
) {
    let inner = to - from - 1;
    // Whole numbers, so that every group has a point whatever the length.
    let begin = |group: usize| from + 1 + group * inner / groups.max(1);
    let mut kept = from;
    for group in 0..groups {
        let behind = if group + 1 < groups {
            begin(group + 1)..begin(group + 2)
        } else {
            to..to + 1
        };
        let next = series.average(behind);
        kept = largest(series, kept, begin(group)..begin(group + 1), &next);
        positions.push(kept);
    }
}

/// The candidate with the largest triangle, the first among equals.
fn largest<S: Series>(
    series: &S,
    kept: usize,
    candidates: Range<usize>,
    next: &S::Average,
) -> usize {
    let mut largest = candidates.start;
    if candidates.len() == 1 {
        return largest;
    }
    let mut area_max = f64::NEG_INFINITY;
    for candidate in series.extremes(candidates) {
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

        fn extremes(&self, range: Range<usize>) -> Positions {
            let by_value = |a: &usize, b: &usize| self.0[*a].total_cmp(&self.0[*b]);
            let least = range.clone().min_by(by_value);
            let greatest = range.rev().max_by(by_value);
            let mut positions: Positions = [least, greatest].into_iter().flatten().collect();
            positions.sort_unstable();
            positions.dedup();
            positions
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
        assert_eq!(between(&line, &[0, 5], 2), [2, 3]);
    }

    #[test]
    fn only_what_stands_out_of_its_group_is_looked_at() {
        // From (0, 0) to (4, 400) the point at 2 makes the largest triangle, and is no extreme.
        let line = Line(vec![0.0, 50.0, 60.0, 240.0, 400.0]);
        assert_eq!(between(&line, &[0, 4], 1), [3]);
    }

    #[test]
    fn a_level_line_keeps_evenly_spread_points() {
        assert_eq!(between(&Line(vec![1.0; 9]), &[0, 8], 3), [1, 3, 5]);
    }

    #[test]
    fn gaps_get_their_share() {
        let line = Line((0..101).map(f64::from).collect());
        let found = between(&line, &[0, 20, 100], 10);
        assert_eq!(found.iter().filter(|position| **position < 20).count(), 1);
        assert_eq!(found.len(), 10);
        assert_eq!(between(&line, &[0, 1, 2, 100], 1000).len(), 97);
    }

    #[test]
    fn without_points_none_stay() {
        assert_eq!(between(&Line(Vec::new()), &[], 2), [0_usize; 0]);
        assert_eq!(between(&Line(vec![1.0]), &[0], 2), [0_usize; 0]);
    }

    proptest! {
        #[test]
        fn as_many_points_as_asked_for_lie_between_the_pinned_ones_in_order(
            line in prop::collection::vec(-1e6..1e6, 1..300),
            pinned in prop::collection::btree_set(0..300_usize, 0..20),
            count in 0..400_usize,
        ) {
            let len = line.len();
            let mut pinned: Vec<_> = pinned.into_iter().filter(|at| *at < len).collect();
            pinned.extend([0, len - 1]);
            pinned.sort_unstable();
            pinned.dedup();
            let positions = between(&Line(line), &pinned, count);
            prop_assert_eq!(positions.len(), count.min(len - pinned.len()));
            prop_assert!(positions.is_sorted_by(|a, b| a < b));
            prop_assert!(positions.iter().all(|at| *at < len && !pinned.contains(at)));
        }

        #[test]
        fn a_spike_stays(
            mut line in prop::collection::vec(-1.0..1.0, 20..300),
            at in 1..19_usize,
            count in 1..20_usize,
        ) {
            line[at] = 1e6;
            let last = line.len() - 1;
            prop_assert!(between(&Line(line), &[0, last], count).contains(&at));
        }
    }
}

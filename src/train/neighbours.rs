//! Like stars: nearest neighbours in the standardised labels.

use linfa_nn::distance::L2Dist;
use linfa_nn::{CommonNearestNeighbour, NearestNeighbour, NearestNeighbourIndex};
use ndarray::{Array2, ArrayView1};

/// Stars up to which looking at all of them is faster than a tree.
const FEW: usize = 2000;

/// The stars among which neighbours are sought.
pub(super) struct Neighbours<'a> {
    labels: &'a Array2<f64>,
    tree: Option<Box<dyn NearestNeighbourIndex<f64> + Send + Sync + 'a>>,
}

impl<'a> Neighbours<'a> {
    /// Among the rows of `labels [n, L]`.
    pub fn among(labels: &'a Array2<f64>) -> Self {
        // A tree takes finite numbers alone.
        let wants_tree = labels.nrows() > FEW && labels.iter().all(|label| label.is_finite());
        let tree = || CommonNearestNeighbour::KdTree.from_batch(labels, L2Dist).ok();
        Self { labels, tree: if wants_tree { tree() } else { None } }
    }

    /// The `count` rows nearest to row `row`, itself not among them.
    pub fn of_row(&self, row: usize, count: usize) -> Vec<usize> {
        let centre = self.labels.row(row);
        let Some(found) = self.tree.as_ref().and_then(|tree| tree.k_nearest(centre, count + 1).ok()) else {
            return nearest_to(self.labels, centre, count, Some(row));
        };
        found.into_iter().map(|(_, other)| other).filter(|&other| other != row).take(count).collect()
    }
}

/// The `count` rows of `labels [n, L]` nearest to a point `[L]`, `but` one of them.
pub(super) fn nearest_to(labels: &Array2<f64>, centre: ArrayView1<'_, f64>, count: usize, but: Option<usize>) -> Vec<usize> {
    let distance = |other: usize| labels.row(other).iter().zip(centre).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut others: Vec<(f64, usize)> = (0..labels.nrows()).filter(|&i| but != Some(i)).map(|i| (distance(i), i)).collect();
    if others.len() > count {
        others.select_nth_unstable_by(count, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.truncate(count);
    }
    others.into_iter().map(|(_, other)| other).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_finds_what_looking_at_all_finds() {
        let mut labels =
            Array2::from_shape_fn((3 * FEW, 3), |(i, j)| ((i * 3 + j) as f64 * 0.7312).sin() + 0.1 * (i as f64).cos());
        let sorted = |mut rows: Vec<usize>| {
            rows.sort_unstable();
            rows
        };
        let among = Neighbours::among(&labels);
        assert!(among.tree.is_some());
        for row in (0..labels.nrows()).step_by(611) {
            assert_eq!(sorted(among.of_row(row, 25)), sorted(nearest_to(&labels, labels.row(row), 25, Some(row))), "{row}");
        }
        drop(among);
        // Stars alike to the last digit, of which a star itself need not be the first that is found.
        labels.fill(1.0);
        let alike = Neighbours::among(&labels).of_row(5, 25);
        assert!(alike.len() == 25 && !alike.contains(&5));
        labels[[7, 1]] = f64::NAN;
        let without = Neighbours::among(&labels);
        assert!(without.tree.is_none() && without.of_row(5, 25).len() == 25);
    }
}

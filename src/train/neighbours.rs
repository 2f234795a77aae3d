//! Like stars: nearest neighbours in the standardised labels.

use kdtree::KdTree;
use kdtree::distance::squared_euclidean;
use ndarray::{Array2, ArrayView1};

/// Stars up to which looking at all of them is faster than a tree.
const FEW: usize = 2000;

/// The stars among which neighbours are sought.
pub(super) struct Neighbours<'a> {
    labels: &'a Array2<f64>,
    tree: Option<KdTree<f64, usize, Vec<f64>>>,
}

impl<'a> Neighbours<'a> {
    /// Among the rows of `labels [n, L]`.
    pub fn among(labels: &'a Array2<f64>) -> Self {
        // A tree takes finite numbers alone.
        let wants_tree = labels.nrows() > FEW && labels.iter().all(|label| label.is_finite());
        let tree = || {
            let mut tree = KdTree::new(labels.ncols());
            let mut rows = labels.rows().into_iter().enumerate();
            rows.try_for_each(|(row, labels)| tree.add(labels.to_vec(), row)).ok().map(|()| tree)
        };
        Self { labels, tree: if wants_tree { tree() } else { None } }
    }

    /// The `count` rows nearest to row `row`, itself not among them.
    pub fn of_row(&self, row: usize, count: usize) -> Vec<usize> {
        let centre = self.labels.row(row);
        let search = |tree: &KdTree<f64, usize, Vec<f64>>| {
            let found = tree.nearest(&centre.to_vec(), count + 1, &squared_euclidean).ok()?;
            Some(found.into_iter().map(|(_, &other)| other).filter(|&other| other != row).take(count).collect())
        };
        self.tree.as_ref().and_then(search).unwrap_or_else(|| nearest_to(self.labels, centre, count, Some(row)))
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
        let mut labels: Array2<f64> =
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
        // Columns that were chosen lie otherwise in memory.
        let turned = labels.t().as_standard_layout().into_owned().reversed_axes();
        assert_eq!(sorted(Neighbours::among(&turned).of_row(8, 25)), sorted(nearest_to(&labels, labels.row(8), 25, Some(8))));
        // Stars alike to the last digit, of which a star itself need not be the first that is found.
        labels.fill(1.0);
        let alike = Neighbours::among(&labels).of_row(5, 25);
        assert!(alike.len() == 25 && !alike.contains(&5));
        labels[[7, 1]] = f64::NAN;
        let without = Neighbours::among(&labels);
        assert!(without.tree.is_none() && without.of_row(5, 25).len() == 25);
    }
}

//! Like stars: nearest neighbours in the standardised labels.

use ndarray::{Array2, ArrayView1};

/// The `count` rows of `labels [n, L]` nearest to `row`, itself not among them.
pub(super) fn nearest(labels: &Array2<f64>, row: usize, count: usize) -> Vec<usize> {
    nearest_to(labels, labels.row(row), count, Some(row))
}

/// The `count` rows of `labels [n, L]` nearest to a point `[L]`, `but` one of them.
///
/// Brute force: a few thousand rows ask, or are asked, and a tree would cost more to read than it saves.
pub(super) fn nearest_to(labels: &Array2<f64>, centre: ArrayView1<'_, f64>, count: usize, but: Option<usize>) -> Vec<usize> {
    let distance = |other: usize| labels.row(other).iter().zip(centre).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut others: Vec<(f64, usize)> = (0..labels.nrows()).filter(|&i| but != Some(i)).map(|i| (distance(i), i)).collect();
    if others.len() > count {
        others.select_nth_unstable_by(count, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        others.truncate(count);
    }
    others.into_iter().map(|(_, other)| other).collect()
}

//! Means of many stars: their errors where stars share a part of theirs, and the groups of like stars that
//! are judged.

use super::ComparedValues;
use serde::Serialize;

/// Stars whose mean is judged.
const TOGETHER: usize = 100;
/// Pulls beyond this are no matter of errors, and take no part in means.
pub(super) const OUTLIER: f64 = 5.0;
/// Most cells along a column.
const MOST_CELLS: usize = 8;

/// Root mean squares of the pulls of means of 100 stars.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct GroupPull {
    /// With independent errors.
    pub independent: f64,
    /// With what the catalogue says that stars share; NaN where it does not say.
    pub sharing: f64,
    pub n_groups: usize,
}

/// The mean of the pulls within 5, over its error.
#[derive(Clone, Copy)]
pub(super) struct MeanPull {
    /// Where errors are independent.
    pub independent: f64,
    /// Where stars share what the catalogue says; NaN where it does not.
    pub sharing: f64,
}

impl MeanPull {
    /// Of some stars; `None` where none has such a pull.
    ///
    /// With q the part of a pull's σ that stars share, the mean of n pulls has the variance Σ (1 − q²)/n² +
    /// (Σ q/n)².
    pub fn of(stars: &[usize], values: &ComparedValues) -> Option<Self> {
        let kept: Vec<usize> = stars.iter().copied().filter(|&star| values.pull[star].abs() <= OUTLIER).collect();
        let n = kept.len() as f64;
        let sum: f64 = kept.iter().map(|&star| values.pull[star]).sum();
        let sharing = values.shared.as_ref().map_or(f64::NAN, |shared| {
            let own: f64 = kept.iter().map(|&star| 1.0 - shared[star].powi(2)).sum();
            let together: f64 = kept.iter().map(|&star| shared[star]).sum();
            sum / (own + together * together).sqrt()
        });
        (!kept.is_empty()).then(|| Self { independent: sum / n.sqrt(), sharing })
    }
}

/// Of groups of 100 stars that follow one another in `order`; `None` where there is none.
pub(super) fn group_pull(order: &[usize], values: &ComparedValues) -> Option<GroupPull> {
    let groups: Vec<MeanPull> = order.chunks_exact(TOGETHER).filter_map(|stars| MeanPull::of(stars, values)).collect();
    let root_mean_square =
        |of: fn(&MeanPull) -> f64| (groups.iter().map(|pull| of(pull).powi(2)).sum::<f64>() / groups.len() as f64).sqrt();
    (!groups.is_empty()).then(|| GroupPull {
        independent: root_mean_square(|pull| pull.independent),
        sharing: root_mean_square(|pull| pull.sharing),
        n_groups: groups.len(),
    })
}

/// Cells of about as many stars: equal counts in the first column, then in the second.
pub(super) struct Cells {
    pub cells: Vec<([[f64; 2]; 2], Vec<usize>)>,
    /// All stars with a pull, cell by cell.
    pub order: Vec<usize>,
}

impl Cells {
    pub fn new([first, second]: &[Vec<f64>; 2], pulls: &[f64]) -> Self {
        let is_known = |&star: &usize| first[star].is_finite() && second[star].is_finite() && pulls[star].is_finite();
        let mut stars: Vec<usize> = (0..pulls.len()).filter(is_known).collect();
        let side = ((stars.len() as f64 / TOGETHER as f64).sqrt() as usize).clamp(1, MOST_CELLS);
        let limits = |values: &[f64], stars: &[usize]| {
            let of = stars.iter().map(|&star| values[star]);
            [of.clone().fold(f64::INFINITY, f64::min), of.fold(f64::NEG_INFINITY, f64::max)]
        };
        stars.sort_by(|&a, &b| first[a].total_cmp(&first[b]));
        let length = |n: usize| n.div_ceil(side).max(1);
        let (mut cells, first_length) = (Vec::new(), length(stars.len()));
        for column in stars.chunks_mut(first_length) {
            column.sort_by(|&a, &b| second[a].total_cmp(&second[b]));
            for cell in column.chunks(length(column.len())) {
                cells.push(([limits(first, cell), limits(second, cell)], cell.to_vec()));
            }
        }
        let order = cells.iter().flat_map(|(_, stars)| stars.iter().copied()).collect();
        Self { cells, order }
    }
}

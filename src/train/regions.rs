//! Regions of the labels in which the zero points of a model are known differently well.

use super::difference::Difference;
use super::pairs::{Shared, shared_covariance};
use nalgebra::{DMatrix, DVector};
use ndarray::Array2;

/// Fewest stars of a region: their pairs give a covariance to a fifth of the noise of one star.
const FEWEST: usize = 150;
/// Divisions one after the other.
const DEPTH: u32 = 5;
/// Where a region may be divided.
const QUANTILES: [f64; 3] = [0.25, 0.5, 0.75];
/// Errors by which two sides must differ. They are too large where there is something: what a fixed field
/// does to pairs that share a star counts as noise in them.
const SIGNIFICANCE: f64 = 3.0;

/// A box of labels and the stars in it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Region {
    /// Lowest and highest coordinate of every label `[L]`; infinite where it is not bounded. The lower bound
    /// belongs to the region.
    pub bounds: Vec<[f64; 2]>,
    rows: Vec<usize>,
}

impl Region {
    /// All stars.
    pub fn whole(labels: &Array2<f64>) -> Self {
        Self { bounds: vec![[f64::NEG_INFINITY, f64::INFINITY]; labels.ncols()], rows: (0..labels.nrows()).collect() }
    }

    /// The covariance that the stars of the region share; `None` where they do not determine one.
    pub fn shared_covariance(&self, stars: &[Difference], pairs: &[(usize, usize)]) -> Option<Shared> {
        let mut place = vec![None; stars.len()];
        self.rows.iter().enumerate().for_each(|(at, &row)| place[row] = Some(at));
        let pairs: Vec<(usize, usize)> = pairs.iter().filter_map(|&(i, j)| place[i].zip(place[j])).collect();
        let stars: Vec<Difference> = self.rows.iter().map(|&row| stars[row].clone()).collect();
        shared_covariance(&stars, &pairs)
    }
}

/// The regions in which zero points differ, which together hold all labels; none where there is but one.
///
/// `realisations` are how many independent ones of the field the differences are of, where it is not the
/// field itself that is sought but its variance: where these are few, regions differ by chance, however many
/// stars they have.
pub(super) fn regions(
    stars: &[Difference],
    labels: &Array2<f64>,
    pairs: &[(usize, usize)],
    realisations: Option<f64>,
) -> Vec<Region> {
    let whole = Region::whole(labels);
    let Some(products) = Products::of(stars, pairs, realisations) else { return Vec::new() };
    let mut finished = Vec::new();
    divide(whole, &products, labels, DEPTH, &mut finished);
    if finished.len() > 1 { finished } else { Vec::new() }
}

fn divide(region: Region, products: &Products<'_>, labels: &Array2<f64>, depth: u32, finished: &mut Vec<Region>) {
    let mut best: Option<(f64, [Region; 2])> = None;
    for label in (0..labels.ncols()).filter(|_| depth > 0) {
        let mut values: Vec<f64> = region.rows.iter().map(|&row| labels[[row, label]]).collect();
        values.sort_by(f64::total_cmp);
        for quantile in QUANTILES.into_iter().filter(|_| !values.is_empty()) {
            let at = values[(quantile * (values.len() - 1) as f64) as usize];
            let (low, high): (Vec<usize>, Vec<usize>) = region.rows.iter().partition(|&&row| labels[[row, label]] < at);
            if low.len().min(high.len()) < FEWEST {
                continue;
            }
            let Some(difference) = products.difference(&low, &high) else { continue };
            if difference > SIGNIFICANCE && best.as_ref().is_none_or(|(largest, _)| difference > *largest) {
                let side = |rows: Vec<usize>, end: usize| {
                    let mut bounds = region.bounds.clone();
                    bounds[label][end] = at;
                    Region { bounds, rows }
                };
                best = Some((difference, [side(low, 1), side(high, 0)]));
            }
        }
    }
    match best {
        None => finished.push(region),
        Some((_, sides)) => sides.into_iter().for_each(|side| divide(side, products, labels, depth - 1, finished)),
    }
}

/// One number for every pair: what its differences have in common in the metric of the mean weight, x = (W_i
/// r_i)ᵀ G (W_j r_j) with G the inverse of the mean W, whose expectation for K = κ G is κ n with n = tr(W_i G
/// W_j G).
struct Products<'a> {
    pairs: &'a [(usize, usize)],
    x: Vec<f64>,
    n: Vec<f64>,
    n_stars: usize,
    /// Variance of κ of few realisations, in units of its square.
    of_realisations: f64,
}

impl<'a> Products<'a> {
    fn of(stars: &[Difference], pairs: &'a [(usize, usize)], realisations: Option<f64>) -> Option<Self> {
        let q = stars.first()?.n_parameters();
        let mut mean = DMatrix::zeros(q, q);
        let weight = |star: &Difference| DMatrix::from_row_slice(q, q, &star.weight);
        stars.iter().for_each(|star| mean += weight(star) / stars.len() as f64);
        let inverse = mean.clone().cholesky()?.inverse();
        let vector = |star: &Difference| star.realisations().map(DVector::from_column_slice).collect();
        let vectors: Vec<Vec<DVector<f64>>> = stars.iter().map(vector).collect();
        let matrices: Vec<DMatrix<f64>> = stars.iter().map(|star| weight(star) * &inverse).collect();
        let product = |i: usize, j: usize| {
            let of_one = |(a, b): (&DVector<f64>, &DVector<f64>)| (a.transpose() * &inverse * b)[0];
            vectors[i].iter().zip(&vectors[j]).map(of_one).sum::<f64>() / vectors[i].len() as f64
        };
        let x = pairs.iter().map(|&(i, j)| product(i, j)).collect();
        let n = pairs.iter().map(|&(i, j)| matrices[i].dot(&matrices[j].transpose())).collect();
        let of_realisations = match realisations {
            None => 0.0,
            Some(realisations) => 2.0 / (realisations * directions(&shared_covariance(stars, pairs)?.covariance, &mean)),
        };
        Some(Self { pairs, x, n, n_stars: stars.len(), of_realisations })
    }

    /// By how many errors κ of two sets of stars differ.
    fn difference(&self, a: &[usize], b: &[usize]) -> Option<f64> {
        let ((a, error_a), (b, error_b)) = (self.kappa(a)?, self.kappa(b)?);
        Some((a - b).abs() / error_a.hypot(error_b))
    }

    /// κ of the pairs within a set of stars, with its error (that of sums over pairs with stars in common).
    fn kappa(&self, rows: &[usize]) -> Option<(f64, f64)> {
        let mut inside = vec![false; self.n_stars];
        rows.iter().for_each(|&row| inside[row] = true);
        let members: Vec<usize> = (0..self.pairs.len()).filter(|&p| inside[self.pairs[p].0] && inside[self.pairs[p].1]).collect();
        let n: f64 = members.iter().map(|&p| self.n[p]).sum();
        let kappa = members.iter().map(|&p| self.x[p]).sum::<f64>() / n;
        let (mut of_stars, mut squares) = (vec![0.0; self.n_stars], 0.0);
        for &p in &members {
            let deviation = self.x[p] - kappa * self.n[p];
            of_stars[self.pairs[p].0] += deviation;
            if self.pairs[p].0 != self.pairs[p].1 {
                of_stars[self.pairs[p].1] += deviation;
                squares += deviation * deviation;
            }
        }
        let variance = of_stars.iter().map(|sum| sum * sum).sum::<f64>() - squares;
        let of_realisations = self.of_realisations * kappa * kappa;
        (n > 0.0 && variance > 0.0).then(|| (kappa, (variance / (n * n) + of_realisations).sqrt()))
    }
}

/// Over how many directions κ = tr(W K) is a sum, with eigenvalues λ of W K: (Σ λ)²/Σ λ². The relative
/// variance of κ of a covariance from n realisations is 2/n over this number.
fn directions(covariance: &DMatrix<f64>, weight: &DMatrix<f64>) -> f64 {
    let product = weight * covariance;
    let squares = (&product * &product).trace();
    if squares > 0.0 { (product.trace().powi(2) / squares).max(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::pairs::{NEIGHBOURS, pairs_of, tests::sample};
    use super::*;

    #[test]
    fn a_field_that_is_larger_on_one_side_of_a_label_divides_there_and_none_does_not() {
        // δ = 0 for x below the upper quartile, 1.5 in both parameters above; noise 0.5–2.
        let (mut stars, labels) = sample(3000, 0.0, 5);
        let border = 0.75 * std::f64::consts::PI;
        for (row, star) in stars.iter_mut().enumerate() {
            if labels[[row, 0]] > border {
                let sign = if labels[[row, 1]] > 1.0 { 1.5 } else { -1.5 };
                for i in 0..2 {
                    star.weighted[i] += sign * (star.weight[2 * i] + star.weight[2 * i + 1]);
                }
            }
        }
        let pairs = pairs_of(&labels, NEIGHBOURS);
        let found = regions(&stars, &labels, &pairs, None);
        assert!(found.len() >= 2);
        assert!(found.iter().map(|region| region.rows.len()).sum::<usize>() == 3000);
        for region in &found {
            let [low, high] = region.bounds[0];
            let variance = region.shared_covariance(&stars, &pairs).unwrap().covariance[(0, 0)];
            println!("{:?}: {variance:.3}", region.bounds);
            // A region across the border has something in between.
            assert!(low < border || (variance - 2.25).abs() < 0.6);
            assert!(high > border || variance < 0.3);
        }
        // Without a field, divisions are those of chance: of six that are tried, one in twenty samples.
        let is_divided = |seed: &u64| {
            let (stars, labels) = sample(1500, 0.0, *seed);
            !regions(&stars, &labels, &pairs_of(&labels, NEIGHBOURS), None).is_empty()
        };
        let divided = (100..120).filter(is_divided).count();
        println!("{divided} of 20 null fields are divided");
        assert!(divided <= 4, "{divided}");
    }
}

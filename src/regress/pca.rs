//! Principal components of rows that need not be in memory together.
//!
//! Components are found from blocks of rows: for few columns by the whole covariance, for many by a random
//! subspace that is multiplied by the covariance a few times (Halko, Martinsson & Tropp 2011, alg. 4.4),
//! which needs `iterations + 2` walks over the rows and memory for `columns × (components + 10)` numbers.

use crate::error::{Error, Result};
use nalgebra::DMatrix;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// How components are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PcaMethod {
    /// By the covariance up to 600 columns, else by a random subspace.
    #[default]
    Automatic,
    Covariance,
    Randomised,
}

/// Columns up to which the covariance is decomposed.
const MOST_COLUMNS_OF_A_COVARIANCE: usize = 600;
/// Directions of the random subspace beyond those that are wanted.
const OVERSAMPLING: usize = 10;
/// Times that the subspace is multiplied by the covariance before the last.
const ITERATIONS: usize = 3;

/// Components of a sample.
///
/// # Shapes
/// `centre [W]`, `components [K, W]` (orthonormal rows, by falling variance; the entry of largest modulus is
/// positive), `variances [K]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pca {
    pub centre: Vec<f64>,
    pub components: Array2<f64>,
    pub variances: Vec<f64>,
}

/// A walk over all rows, in blocks.
pub type Walk<'a> = &'a mut dyn FnMut(&mut dyn FnMut(ArrayView2<'_, f32>)) -> Result<()>;

impl Pca {
    /// The `count` first components of rows of `width` finite numbers.
    ///
    /// # Errors
    /// When there are fewer rows or columns than components, and those of the walk.
    pub fn of_blocks(width: usize, count: usize, method: PcaMethod, seed: u64, walk: Walk<'_>) -> Result<Self> {
        let mut n = 0;
        let mut sum = Array1::<f64>::zeros(width);
        walk(&mut |rows| {
            n += rows.nrows();
            for row in rows.rows() {
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        })?;
        if count == 0 || count > width || count >= n {
            return Err(Error::usage("principal components")
                .found(format!("{count} of {n} rows of {width} numbers"))
                .expected("fewer than there are rows, not more than there are numbers, at least one")
                .remedy("Ask for another number of components, or give more stars."));
        }
        let centre = sum / n as f64;
        let is_small = width <= MOST_COLUMNS_OF_A_COVARIANCE || count + OVERSAMPLING >= width;
        let (basis, values) = match method {
            PcaMethod::Covariance => by_covariance(&centre, walk)?,
            PcaMethod::Automatic if is_small => by_covariance(&centre, walk)?,
            _ => by_subspace(&centre, (count + OVERSAMPLING).min(width), seed, walk)?,
        };
        let mut components = Array2::zeros((count, width));
        let mut variances = Vec::with_capacity(count);
        for (k, mut component) in components.rows_mut().into_iter().enumerate() {
            let column = basis.column(k);
            let largest =
                column.iter().fold(0.0_f64, |largest, value| if value.abs() > largest.abs() { *value } else { largest });
            component.iter_mut().zip(column.iter()).for_each(|(to, from)| *to = from * largest.signum());
            variances.push((values[k] / (n - 1) as f64).max(0.0));
        }
        Ok(Self { centre: centre.to_vec(), components, variances })
    }
}

impl Pca {
    /// Coefficients `[K]` of a row of finite numbers.
    pub fn project(&self, row: impl Iterator<Item = f64>) -> Array1<f64> {
        let centred: Array1<f64> = row.zip(&self.centre).map(|(value, centre)| value - centre).collect();
        self.components.dot(&centred)
    }
}

/// Rows less their centre, in single precision, in which products of blocks are taken.
fn centred(rows: ArrayView2<'_, f32>, centre: &Array1<f64>) -> Array2<f32> {
    let mut rows = rows.to_owned();
    for mut row in rows.rows_mut() {
        row.iter_mut().zip(centre).for_each(|(value, centre)| *value = (f64::from(*value) - centre) as f32);
    }
    rows
}

/// Eigenvectors and eigenvalues, by falling eigenvalue.
fn decomposed(matrix: DMatrix<f64>) -> (DMatrix<f64>, Vec<f64>) {
    let eigen = matrix.symmetric_eigen();
    let mut order: Vec<usize> = (0..eigen.eigenvalues.len()).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    (eigen.eigenvectors.select_columns(&order), order.iter().map(|&k| eigen.eigenvalues[k]).collect())
}

fn by_covariance(centre: &Array1<f64>, walk: Walk<'_>) -> Result<(DMatrix<f64>, Vec<f64>)> {
    let width = centre.len();
    let mut scatter = Array2::<f64>::zeros((width, width));
    walk(&mut |rows| {
        let rows = centred(rows, centre).mapv(f64::from);
        scatter += &rows.t().dot(&rows);
    })?;
    Ok(decomposed(DMatrix::from_fn(width, width, |i, j| 0.5 * (scatter[[i, j]] + scatter[[j, i]]))))
}

fn by_subspace(centre: &Array1<f64>, size: usize, seed: u64, walk: Walk<'_>) -> Result<(DMatrix<f64>, Vec<f64>)> {
    let width = centre.len();
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let start = DMatrix::from_fn(width, size, |_, _| <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut random));
    let mut basis = start.qr().q();
    for _ in 0..ITERATIONS {
        let directions = Array2::from_shape_fn((width, size), |(i, j)| basis[(i, j)] as f32);
        let mut product = Array2::<f64>::zeros((width, size));
        walk(&mut |rows| {
            let rows = centred(rows, centre);
            product.zip_mut_with(&rows.t().dot(&rows.dot(&directions)), |sum, part| *sum += f64::from(*part));
        })?;
        basis = DMatrix::from_fn(width, size, |i, j| product[[i, j]]).qr().q();
    }
    let directions = Array2::from_shape_fn((width, size), |(i, j)| basis[(i, j)] as f32);
    let mut within = Array2::<f64>::zeros((size, size));
    walk(&mut |rows| {
        let coefficients = centred(rows, centre).dot(&directions).mapv(f64::from);
        within += &coefficients.t().dot(&coefficients);
    })?;
    let (rotation, values) = decomposed(DMatrix::from_fn(size, size, |i, j| 0.5 * (within[[i, j]] + within[[j, i]])));
    Ok((basis * rotation, values))
}

/// A walk over rows that are in memory, `block` at a time.
pub fn walk_in_blocks(rows: ArrayView2<'_, f32>, block: usize, each: &mut dyn FnMut(ArrayView2<'_, f32>)) -> Result<()> {
    rows.axis_chunks_iter(Axis(0), block).for_each(each);
    Ok(())
}

//! Many problems, several threads, the same bits.

use super::{Bounds, Minimiser, Problems, Solution, Subset};
use crate::error::{Error, Result};
use ndarray::{Array2, Array3, ArrayView2, Axis, concatenate};
use rayon::prelude::*;

/// Minimises all problems in chunks of `chunk` consecutive ones, on the threads of the current rayon pool.
///
/// The chunks do not depend on the number of threads and each is driven by one thread, so the solution is
/// bitwise the same for any number of threads. (It also does not depend on `chunk` where the problem
/// evaluates each row independently of the others, except for [`FirstOrder`](super::FirstOrder), whose rounds
/// end by the state of a whole chunk.) 256–1024 problems keep a CPU engine's tensors in the cache; an
/// accelerator wants them all at once.
///
/// # Errors
/// `Usage` for a zero `chunk` and wrong shapes; otherwise the first chunk's error, in the order of problems.
pub fn minimise_in_chunks(
    method: &dyn Minimiser,
    problem: &dyn Problems,
    start: ArrayView2<'_, f64>,
    bounds: Option<&Bounds>,
    chunk: usize,
) -> Result<Solution> {
    let n = problem.n_problems();
    if start.nrows() != n {
        let found = format!("{} rows", start.nrows());
        return Err(Error::usage("start of the minimisation").found(found).expected(format!("{n}, one a problem")));
    }
    let pieces =
        in_chunks(n, chunk, |members| method.minimise(&Subset::new(problem, members), start.select(Axis(0), members), bounds))?;
    join(pieces, problem.n_parameters())
}

/// What `each` makes of chunks of at most `chunk` of the `n` problems, in order, on the threads of the
/// current rayon pool.
pub(super) fn in_chunks<T: Send>(n: usize, chunk: usize, each: impl Fn(&[usize]) -> Result<T> + Sync) -> Result<Vec<T>> {
    if chunk == 0 {
        return Err(Error::usage("chunk of problems").found("0").expected("at least 1"));
    }
    let pieces: Vec<Result<T>> = (0..n.div_ceil(chunk))
        .into_par_iter()
        .map(|index| each(&(index * chunk..((index + 1) * chunk).min(n)).collect::<Vec<usize>>()))
        .collect();
    pieces.into_iter().collect()
}

/// The solutions of consecutive problems as one.
pub(crate) fn join(pieces: Vec<Solution>, n_parameters: usize) -> Result<Solution> {
    let joined = |error: ndarray::ShapeError| Error::numerical("joining the chunks of a minimisation").source(error);
    // No piece at all would have no shape.
    let none = [Array2::zeros((0, n_parameters))];
    let rows = |of: fn(&Solution) -> ArrayView2<'_, f64>| {
        let pieces: Vec<_> = none.iter().map(|none| none.view()).chain(pieces.iter().map(of)).collect();
        concatenate(Axis(0), &pieces).map_err(joined)
    };
    let no_curvature = [Array3::zeros((0, n_parameters, n_parameters))];
    let curvature: Vec<_> =
        no_curvature.iter().map(|none| none.view()).chain(pieces.iter().map(|piece| piece.curvature.view())).collect();
    Ok(Solution {
        coordinates: rows(|piece| piece.coordinates.view())?,
        gradient: rows(|piece| piece.gradient.view())?,
        curvature: concatenate(Axis(0), &curvature).map_err(joined)?,
        loss: pieces.iter().flat_map(|piece| piece.loss.iter().copied()).collect(),
        status: pieces.iter().flat_map(|piece| piece.status.iter().copied()).collect(),
        n_iterations: pieces.iter().flat_map(|piece| piece.n_iterations.iter().copied()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Method;
    use super::super::test_problems::Stars;
    use super::*;

    #[test]
    fn neither_threads_nor_chunks_nor_order_change_a_bit() {
        let stars = Stars::simulate(150, 1);
        let method = Method::default();
        let whole = method.minimise(&stars, stars.start(), None).unwrap();
        for (threads, chunk) in [(1, 64), (2, 64), (4, 7), (3, 1000)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let solution = pool.install(|| minimise_in_chunks(&method, &stars, stars.start().view(), None, chunk)).unwrap();
            assert_eq!(solution, whole, "{threads} threads, chunks of {chunk}");
        }
        let order: Vec<usize> = (0..150).rev().collect();
        let permuted = stars.permuted(&order);
        let reversed = method.minimise(&permuted, permuted.start(), None).unwrap();
        assert_eq!(reversed.coordinates.select(Axis(0), &order), whole.coordinates);
        assert!(order.iter().all(|&i| reversed.loss[149 - i] == whole.loss[i]));
    }

    #[test]
    fn empty_batches_and_wrong_shapes() {
        let stars = Stars::simulate(3, 1);
        let none = stars.permuted(&[]);
        let start = Array2::zeros((0, 5));
        assert_eq!(minimise_in_chunks(&Method::default(), &none, start.view(), None, 8).unwrap().coordinates.dim(), (0, 5));
        let short = Array2::zeros((2, 5));
        assert!(minimise_in_chunks(&Method::default(), &stars, short.view(), None, 8).is_err());
        assert!(minimise_in_chunks(&Method::default(), &stars, stars.start().view(), None, 0).is_err());
    }
}

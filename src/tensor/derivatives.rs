//! Derivatives of a batch of vectors, of which only those are stored that are not zero everywhere.

use super::{Tensor, matmul};

/// Derivatives named by `keys`: a parameter for first derivatives, a pair of parameters for second ones.
///
/// The derivatives lie one after the other, so that arithmetic of all of them with one value is one operation
/// over long rows.
///
/// # Shapes
/// `stack [keys.len(), N, W]`; N and W may be 1 where the derivative does not depend on the row or the
/// column.
#[derive(Debug, Clone)]
pub struct Derivatives<K> {
    pub keys: Vec<K>,
    pub stack: Tensor<3>,
}

impl<K: Copy + PartialEq> Derivatives<K> {
    /// The same derivatives with their tensor changed by `change`.
    pub(super) fn map(&self, change: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Self {
        Self { keys: self.keys.clone(), stack: change(self.stack.clone()) }
    }

    /// Every derivative times `value [N, W]`.
    pub(super) fn times(&self, value: &Tensor<2>) -> Self {
        self.map(|stack| times(stack, value.clone()))
    }

    /// `self · weight` with `weight [W, V]`.
    pub(super) fn matmul(&self, weight: &Tensor<2>) -> Self {
        let [k, n, w] = self.stack.dims();
        self.map(|stack| matmul(stack.reshape([k * n, w]), weight.clone()).reshape([k, n, weight.dims()[1]]))
    }

    /// The derivatives at all N rows and W columns.
    pub fn widen(&self, [n, w]: [usize; 2]) -> Self {
        let k = self.keys.len();
        if self.stack.dims() == [k, n, w] { self.clone() } else { self.map(|stack| stack.expand([k, n, w])) }
    }

    /// Sum with other derivatives of vectors of the same dimensions.
    pub(super) fn add(&self, other: &Self) -> Self {
        if self.keys == other.keys {
            return self.map(|stack| stack + other.stack.clone());
        }
        let ([_, n, w], [_, m, v]) = (self.stack.dims(), other.stack.dims());
        let dims = [n.max(m), w.max(v)];
        let new: Vec<K> = other.keys.iter().copied().filter(|key| !self.keys.contains(key)).collect();
        let keys: Vec<K> = self.keys.iter().copied().chain(new.iter().copied()).collect();
        let stack = if new.len() == other.keys.len() {
            Tensor::cat(vec![self.widen(dims).stack, other.widen(dims).stack], 0)
        } else {
            self.widen(dims).rows(&keys) + other.widen(dims).rows(&keys)
        };
        Self { keys, stack }
    }

    /// The derivatives of the given keys `[keys, N, W]`, zero where there are none.
    pub(super) fn rows(&self, keys: &[K]) -> Tensor<3> {
        if self.keys == keys {
            return self.stack.clone();
        }
        let [_, n, w] = self.stack.dims();
        let row = |i: usize| self.stack.clone().slice([i..i + 1, 0..n, 0..w]);
        let zeros = || row(0).zeros_like();
        let rows = keys.iter().map(|key| self.keys.iter().position(|own| own == key).map_or_else(zeros, row));
        Tensor::cat(rows.collect(), 0)
    }
}

impl Derivatives<usize> {
    /// Products of all pairs p ≤ q (in the order of `keys`) of first derivatives, `[pairs, N, W]`.
    pub(super) fn squares(&self) -> Derivatives<(usize, usize)> {
        let k = self.keys.len();
        let products = (0..k).map(|i| self.row_times(i, self, i)).collect();
        let keys = (0..k).flat_map(|i| (i..k).map(move |j| (i, j))).map(|(i, j)| pair(self.keys[i], self.keys[j]));
        Derivatives { keys: keys.collect(), stack: Tensor::cat(products, 0) }
    }

    /// ∂a/∂p ∂b/∂q + ∂a/∂q ∂b/∂p for all pairs: what the product rule adds to the second derivatives of a·b.
    pub(super) fn cross(&self, other: &Self) -> Option<Derivatives<(usize, usize)>> {
        (0..self.keys.len())
            .flat_map(|i| (0..other.keys.len()).map(move |j| (i, j)))
            .map(|(i, j)| {
                let product = times(self.row(i), other.row(j).squeeze_dim(0));
                let (p, q) = (self.keys[i], other.keys[j]);
                Derivatives { keys: vec![pair(p, q)], stack: if p == q { product * 2.0 } else { product } }
            })
            .reduce(|sum, term| sum.add(&term))
    }

    fn row(&self, i: usize) -> Tensor<3> {
        let [_, n, w] = self.stack.dims();
        self.stack.clone().slice([i..i + 1, 0..n, 0..w])
    }

    /// Derivative `i` times all of `other` from `start` on.
    fn row_times(&self, i: usize, other: &Self, start: usize) -> Tensor<3> {
        let [k, n, w] = other.stack.dims();
        times(other.stack.clone().slice([start..k, 0..n, 0..w]), self.row(i).squeeze_dim(0))
    }
}

/// The key of ∂²/∂p∂q.
fn pair(p: usize, q: usize) -> (usize, usize) {
    (p.min(q), p.max(q))
}

/// `stack [K, N, W]` times `value [N, W]`, where N and W may be 1 on either side.
///
/// Written with at most two axes: backends have fast paths for a row shared by all others, but walk a
/// broadcast axis in the middle element by element (three quarters of the time of a Jacobian on the CPU).
fn times(stack: Tensor<3>, value: Tensor<2>) -> Tensor<3> {
    let ([k, n, w], [m, v]) = (stack.dims(), value.dims());
    let (rows, columns) = (n.max(m), w.max(v));
    if m == 1 {
        return (stack.reshape([k * n, w]) * value).reshape([k, rows, columns]);
    }
    let value = if (m, v) == (rows, columns) { value } else { value.expand([rows, columns]) };
    let stack = if (n, w) == (rows, columns) { stack } else { stack.expand([k, rows, columns]) };
    (stack.reshape([k, rows * columns]) * value.reshape([1, rows * columns])).reshape([k, rows, columns])
}

/// Sum of derivatives that may be absent.
pub(super) fn sum<K: Copy + PartialEq>(a: Option<Derivatives<K>>, b: Option<Derivatives<K>>) -> Option<Derivatives<K>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.add(&b)),
        (a, b) => a.or(b),
    }
}

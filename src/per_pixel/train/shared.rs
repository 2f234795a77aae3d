//! What the networks of all pixels share: the labels of the samples, in strips, and their products.

use crate::tensor::row_products::{RIGHT, Strip, WIDTH, strips};
use ndarray::ArrayView2;

/// Strips of a section: a few left rows of it fit into the first-level cache, all right rows into the second.
const SECTION: usize = 60;

/// Some of the samples. A right row has all their strips one after the other.
#[derive(Debug, Clone)]
pub(super) struct Section {
    /// Index of the first sample.
    pub first: usize,
    /// Number of samples.
    pub n_samples: usize,
    /// Number of strips n.
    pub n: usize,
    /// Scaled labels, then ones, then zeros `[rows of inputs][n]`.
    pub inputs: Vec<Strip>,
    /// Products x_l x_l' of the inputs, l ≤ l', row by row, then zeros `[rows of products][n]`.
    pub products: Vec<Strip>,
}

/// Labels of the training spectra and of the references.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// L.
    pub n_labels: usize,
    pub sections: Vec<Section>,
    /// None of a training without physics.
    pub references: Option<Section>,
}

/// Number of the pair (l, l'), l ≤ l' < n, of all.
pub(super) const fn pair(l: usize, l2: usize, n: usize) -> usize {
    l * (2 * n + 1 - l) / 2 + (l2 - l)
}

impl Shared {
    /// From scaled labels `[N, L]` and those of the references `[R, L]`.
    pub fn new(scaled: ArrayView2<f64>, references: ArrayView2<f64>) -> Self {
        Self::in_sections(scaled, references, SECTION)
    }

    /// The same with sections of so many strips, at most.
    pub fn in_sections(scaled: ArrayView2<f64>, references: ArrayView2<f64>, most: usize) -> Self {
        let n_sections = strips(scaled.nrows()).div_ceil(most).max(1);
        let length = strips(scaled.nrows().div_ceil(n_sections)).max(1) * WIDTH;
        let sections = (0..scaled.nrows())
            .step_by(length)
            .map(|first| Section::new(scaled.slice(ndarray::s![first..(first + length).min(scaled.nrows()), ..]), first));
        Self {
            n_labels: scaled.ncols(),
            sections: sections.collect(),
            references: (references.nrows() > 0).then(|| Section::new(references, 0)),
        }
    }
}

impl Section {
    fn new(scaled: ArrayView2<f64>, first: usize) -> Self {
        let (n_samples, n_labels) = scaled.dim();
        let n = strips(n_samples);
        let n_inputs = n_labels + 1;
        let mut section = Self { first, n_samples, n, inputs: Vec::new(), products: Vec::new() };
        for l in 0..n_inputs.next_multiple_of(RIGHT) {
            let row = section.strips_of(|i| match l.cmp(&n_labels) {
                std::cmp::Ordering::Less => scaled[[i, l]] as f32,
                std::cmp::Ordering::Equal => 1.0,
                std::cmp::Ordering::Greater => 0.0,
            });
            section.inputs.extend(row);
        }
        for l in 0..n_inputs {
            for l2 in l..n_inputs {
                let row = (0..n).map(|s| {
                    let (a, b) = (&section.inputs[l * n + s].0, &section.inputs[l2 * n + s].0);
                    Strip(std::array::from_fn(|lane| a[lane] * b[lane]))
                });
                section.products.extend(row);
            }
        }
        let rows = pair(n_inputs - 1, n_inputs - 1, n_inputs) + 1;
        section.products.resize(rows.next_multiple_of(RIGHT) * n, Strip::default());
        section
    }

    /// A row of values of the section's samples, zeros at the end.
    pub fn strips_of(&self, value: impl Fn(usize) -> f32) -> Vec<Strip> {
        let at = |i: usize| if i < self.n_samples { value(i) } else { 0.0 };
        (0..self.n).map(|s| Strip(std::array::from_fn(|lane| at(s * WIDTH + lane)))).collect()
    }
}

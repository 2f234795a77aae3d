//! Labels that are measured from their own windows alone.
//!
//! A label with windows is two parameters of a fit: its value within them, which is the label, and another
//! one outside, which takes up what the lines there say of it. All are fitted together to all pixels, so that
//! every pixel counts once, other labels are told by all of them, and errors are those of a likelihood: no
//! pixel outside of its windows says anything of the label, but through the other labels.

use crate::error::{Error, Result};
use crate::per_pixel::engine::{PixelModel, evaluate_all, whole_blocks};
use crate::per_pixel::labels::LabelSpace;
use crate::tensor::lanes::{Block, LANES};
use crate::tensor::row_products::{Strip, WIDTH};
use ndarray::{Array2, ArrayView2, Axis, s};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// What precedes the suffix of its column is the label that a parameter is outside of windows.
const OUTSIDE: &str = "_outside";
/// A label acts on a pixel or not: its flux moves by more than this of the continuum over its whole range,
/// together over the pixels. At S/N 1000 less than this tells a label to ten times its range.
const LEAST_EFFECT: f64 = 1e-4;
/// Templates that are looked at together.
const CHUNK: usize = 16;
/// What is known of a value beforehand that nothing tells, in inverse squares of the label's range: enough
/// for equations that have a solution, and a ten thousandth of what a label that is known to its range has.
const HARDLY: f64 = 1e-4;

/// Whether a catalogue's column is that of a label outside of its windows.
pub(super) fn is_outside(column: &str) -> bool {
    column.strip_suffix(OUTSIDE).is_some_and(|label| !label.is_empty())
}

/// Windows of labels on the pixels of a model.
pub(super) struct Windows {
    /// Labels with windows, and which pixels are within.
    of_label: Vec<(usize, Vec<bool>)>,
    /// Those that act outside too, by position among `of_label`.
    outside: Vec<usize>,
}

impl Windows {
    /// Those that the options ask for; `ends` pixels at either end take no part in fits. `None` of none.
    ///
    /// # Errors
    /// `Usage` for a label that the model has not, a window without a pixel, and windows in which the flux
    /// does not depend on their label, at any of the templates `[T, L]` (in the labels' units).
    pub fn new(
        of: &BTreeMap<String, Vec<[f64; 2]>>,
        model: &dyn PixelModel,
        templates: ArrayView2<f64>,
        ends: usize,
    ) -> Result<Option<Self>> {
        if of.is_empty() {
            return Ok(None);
        }
        let (space, wavelength, w) = (model.space(), model.wavelength(), model.n_pixels());
        let mut of_label = Vec::new();
        for (label, windows) in of {
            let place = format!("fit option windows_of.{label}");
            let Some(k) = space.names.iter().position(|name| name == label) else {
                return Err(Error::usage(place)
                    .found("a label that the model does not have")
                    .expected(format!("one of {}", space.names.join(", "))));
            };
            let mut is_within = vec![false; w];
            for [from, to] in windows {
                // Pixels at the ends too: shifted and broadened spectra are made of them.
                let is_in = |i: &usize| wavelength.get(*i).is_some_and(|at| (*from..=*to).contains(at));
                let pixels: Vec<usize> = (0..w).filter(is_in).collect();
                if !pixels.iter().any(|i| (ends..w.saturating_sub(ends)).contains(i)) {
                    let range = match wavelength.get(ends..w.saturating_sub(ends)) {
                        Some([first, .., last]) => {
                            format!("pixels that take part in fits, which are from {first:.2} to {last:.2} Å")
                        }
                        _ => "a model with wavelengths".into(),
                    };
                    return Err(Error::usage(place)
                        .found(format!("the window [{from}, {to}] without a pixel"))
                        .expected(format!("windows in Å that have {range}"))
                        .remedy("Correct the window, or leave it out."));
                }
                pixels.into_iter().for_each(|i| is_within[i] = true);
            }
            of_label.push((k, is_within));
        }
        of_label.sort_by_key(|(k, _)| *k);
        let effects = effects(model, templates, &of_label, ends);
        if let Some(((k, _), [inside, _])) = of_label.iter().zip(&effects).find(|(_, [inside, _])| *inside < LEAST_EFFECT) {
            return Err(Error::usage(format!("fit option windows_of.{}", space.names[*k]))
                .found(format!("windows in which the label moves the flux by {inside:.1e} over its whole range"))
                .expected(format!("windows with lines of it: {LEAST_EFFECT:e} of the continuum, root of the sum of squares, at the least"))
                .remedy("Correct the windows, or leave the label out (a model that was trained with windows has no other pixels of it)."));
        }
        let outside = (0..of_label.len()).filter(|&at| effects[at][1] > 0.0).collect();
        Ok(Some(Self { of_label, outside }))
    }

    /// Labels that are another parameter outside of their windows, in the order of these.
    pub fn outside(&self) -> impl Iterator<Item = usize> + '_ {
        self.outside.iter().map(|&at| self.of_label[at].0)
    }

    /// The model in labels and their values outside of windows: `[L + n]`.
    pub fn model(&self, inner: Arc<dyn PixelModel>) -> Arc<dyn PixelModel> {
        match self.outside.is_empty() {
            true => inner,
            false => Arc::new(WindowedModel::new(inner, &self.outside.iter().map(|&at| &self.of_label[at]).collect::<Vec<_>>())),
        }
    }

    /// Labels of which a spectrum has no pixel within their windows, by its weights.
    pub fn unmeasured<'a>(&'a self, weight: &'a [Strip]) -> impl Iterator<Item = usize> + 'a {
        let is_good = |i: usize| weight[i / WIDTH].0[i % WIDTH] > 0.0;
        let has_none = move |is_within: &[bool]| !(0..is_within.len()).any(|i| is_within[i] && is_good(i));
        self.of_label.iter().filter(move |(_, is_within)| has_none(is_within)).map(|(k, _)| *k)
    }

    /// What is known beforehand of `n` parameters, of which the first are labels (and their values outside):
    /// next to nothing of those that pixels may not tell. Inverse variances of scaled values, about the
    /// middle of the range.
    pub fn hardly_known(&self, n_labels: usize, n: usize, weight: &[Strip]) -> Vec<f64> {
        let mut known = vec![0.0; n];
        known[n_labels..].fill(HARDLY);
        self.unmeasured(weight).for_each(|k| known[k] = HARDLY);
        known
    }
}

/// Names of values outside of windows.
pub(super) fn name_outside(label: &str) -> String {
    format!("{label}{OUTSIDE}")
}

/// By how much labels move the flux over their ranges within their windows and outside: root of the sum of
/// squares over the pixels, the largest of all templates.
fn effects(model: &dyn PixelModel, templates: ArrayView2<f64>, of_label: &[(usize, Vec<bool>)], ends: usize) -> Vec<[f64; 2]> {
    let mut largest = vec![[0.0_f64; 2]; of_label.len()];
    for some in templates.axis_chunks_iter(Axis(0), CHUNK) {
        let rows = evaluate_all(model, some);
        for ((k, is_within), largest) in of_label.iter().zip(&mut largest) {
            for slopes in rows.slice(s![.., 1 + *k, ..]).outer_iter() {
                let mut sums = [0.0; 2];
                for i in ends..slopes.len().saturating_sub(ends) {
                    sums[usize::from(!is_within[i])] += f64::from(slopes[i]).powi(2);
                }
                largest.iter_mut().zip(sums).for_each(|(largest, sum)| *largest = largest.max(sum.sqrt()));
            }
        }
    }
    largest
}

/// A model whose labels with windows have another value outside of them.
struct WindowedModel {
    inner: Arc<dyn PixelModel>,
    /// Labels, then those with windows as they are outside.
    space: LabelSpace,
    /// The latter `[n]`.
    outside: Vec<usize>,
    patterns: Vec<Pattern>,
    /// Of every pixel of whole blocks, the number of its pattern.
    of_pixel: Vec<usize>,
}

/// Pixels that are within the same windows.
struct Pattern {
    /// Which of the values `[L + n]` are the labels there `[L]`.
    labels: Vec<usize>,
    /// Blocks with such pixels, in pairs.
    runs: Vec<Range<usize>>,
}

impl WindowedModel {
    fn new(inner: Arc<dyn PixelModel>, windows: &[&(usize, Vec<bool>)]) -> Self {
        let (l, w) = (inner.space().len(), inner.n_pixels());
        let outside: Vec<usize> = windows.iter().map(|(k, _)| *k).collect();
        let mut space = inner.space().clone();
        for &k in &outside {
            space.names.push(name_outside(&space.names[k]));
            space.units.push(space.units[k].clone());
            space.minimum.push(space.minimum[k]);
            space.maximum.push(space.maximum[k]);
        }
        let mut patterns: Vec<Pattern> = Vec::new();
        let mut numbers = BTreeMap::new();
        let n_blocks = whole_blocks(w);
        let of_pixel: Vec<usize> = (0..n_blocks * LANES)
            .map(|i| {
                let i = i.min(w - 1);
                let is_within: Vec<bool> = windows.iter().map(|(_, is_within)| is_within[i]).collect();
                *numbers.entry(is_within).or_insert_with_key(|is_within| {
                    let mut labels: Vec<usize> = (0..l).collect();
                    let those_outside = is_within.iter().enumerate().filter(|(_, is_within)| !**is_within);
                    those_outside.for_each(|(j, _)| labels[outside[j]] = l + j);
                    patterns.push(Pattern { labels, runs: Vec::new() });
                    patterns.len() - 1
                })
            })
            .collect();
        for (pair, pixels) in of_pixel.chunks_exact(2 * LANES).enumerate() {
            let of_pair = patterns.iter_mut().enumerate().filter(|(number, _)| pixels.contains(number));
            for (_, pattern) in of_pair {
                match pattern.runs.last_mut() {
                    Some(run) if run.end == 2 * pair => run.end += 2,
                    _ => pattern.runs.push(2 * pair..2 * pair + 2),
                }
            }
        }
        Self { inner, space, outside, patterns, of_pixel }
    }
}

impl PixelModel for WindowedModel {
    fn space(&self) -> &LabelSpace {
        &self.space
    }

    fn n_pixels(&self) -> usize {
        self.inner.n_pixels()
    }

    fn wavelength(&self) -> &[f64] {
        self.inner.wavelength()
    }

    /// What the model's pixels share, of all spectra for one pattern after the other.
    fn shared(&self, scaled: &[f32], derivatives: bool) -> Vec<f32> {
        let of_pattern = |pattern: &Pattern| {
            let values = scaled.chunks_exact(self.space.len()).flat_map(|values| pattern.labels.iter().map(|&at| values[at]));
            self.inner.shared(&values.collect::<Vec<f32>>(), derivatives)
        };
        self.patterns.iter().flat_map(of_pattern).collect()
    }

    fn evaluate(&self, blocks: Range<usize>, shared: &[f32], derivatives: bool, out: &mut [Block]) {
        let l = self.inner.space().len();
        let (n_inner, n_rows) = if derivatives { (1 + l, 1 + self.space.len()) } else { (1, 1) };
        let n_blocks = blocks.len();
        let n_stars = out.len() / (n_rows * n_blocks);
        let mut work: Vec<Block> = Vec::new();
        let parts = shared.chunks_exact(shared.len() / self.patterns.len());
        for (number, (pattern, shared)) in self.patterns.iter().zip(parts).enumerate() {
            // Of a label that is another value there, the row of this is zero, and the other way round.
            let without = self.outside.iter().enumerate().map(|(j, &k)| if pattern.labels[k] == k { l + j } else { k });
            let without: Vec<usize> = without.filter(|_| derivatives).collect();
            for run in &pattern.runs {
                let run = run.start.max(blocks.start)..run.end.min(blocks.end);
                if run.is_empty() {
                    continue;
                }
                work.resize(n_stars * n_inner * run.len(), Block::default());
                self.inner.evaluate(run.clone(), shared, derivatives, &mut work);
                for (found, out) in work.chunks_exact(n_inner * run.len()).zip(out.chunks_exact_mut(n_rows * n_blocks)) {
                    let rows = found.chunks_exact(run.len()).enumerate();
                    for (row, found) in rows {
                        let to = if row == 0 { 0 } else { 1 + pattern.labels[row - 1] };
                        let at = to * n_blocks + run.start - blocks.start;
                        self.put(number, run.start, |i| found[i], &mut out[at..at + run.len()]);
                    }
                    for &value in &without {
                        let at = (1 + value) * n_blocks + run.start - blocks.start;
                        self.put(number, run.start, |_| Block::default(), &mut out[at..at + run.len()]);
                    }
                }
            }
        }
    }
}

impl WindowedModel {
    /// Puts some blocks, the first being `first` of the model, where pixels are of a pattern.
    #[inline]
    fn put(&self, pattern: usize, first: usize, found: impl Fn(usize) -> Block, out: &mut [Block]) {
        let pixels = self.of_pixel[first * LANES..].chunks_exact(LANES);
        for (i, (out, pixels)) in out.iter_mut().zip(pixels).enumerate() {
            let found = found(i);
            for ((out, found), own) in out.0.iter_mut().zip(found.0).zip(pixels) {
                *out = if *own == pattern { found } else { *out };
            }
        }
    }
}

/// Columns of labels `[N, L]` with those of values outside of windows, which are the same.
pub(super) fn extended(labels: ArrayView2<f64>, outside: &[usize]) -> Array2<f64> {
    let columns: Vec<usize> = (0..labels.ncols()).chain(outside.iter().copied()).collect();
    labels.select(Axis(1), &columns)
}

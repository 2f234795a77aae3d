//! The lines of the benchmark.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Number of labels.
pub const N_LABELS: usize = 15;
/// Names and units of the labels.
pub const LABELS: [(&str, &str); N_LABELS] = [
    ("teff", "K"),
    ("logg", "dex"),
    ("v_mic", "km.s**-1"),
    ("feh", "dex"),
    ("c_fe", "dex"),
    ("n_fe", "dex"),
    ("o_fe", "dex"),
    ("mg_fe", "dex"),
    ("al_fe", "dex"),
    ("si_fe", "dex"),
    ("ca_fe", "dex"),
    ("ti_fe", "dex"),
    ("cr_fe", "dex"),
    ("mn_fe", "dex"),
    ("ni_fe", "dex"),
];
/// Index of the first abundance ratio among the labels; the element `e` above iron has label `FIRST_RATIO + e
/// − 1`.
pub(super) const FIRST_RATIO: usize = 4;
/// Iron, then the elements of the ratios, with the number of their lines in 300 Å.
pub const ELEMENTS: [(&str, usize); 12] = [
    ("Fe", 400),
    ("C", 80),
    ("N", 20),
    ("O", 12),
    ("Mg", 25),
    ("Al", 8),
    ("Si", 40),
    ("Ca", 30),
    ("Ti", 120),
    ("Cr", 90),
    ("Mn", 35),
    ("Ni", 90),
];

/// One line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    /// Index into [`ELEMENTS`].
    pub element: usize,
    /// Å.
    pub wavelength: f64,
    /// Excitation potential χ, eV.
    pub excitation: f64,
    /// log10 of the line's strength at solar abundance.
    pub strength: f64,
    /// Of an ion: weaker in dwarfs.
    pub ionic: bool,
}

/// What lines there are, on which pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct LineList {
    pub seed: u64,
    /// First wavelength, Å.
    pub start: f64,
    /// Width of a pixel, Å.
    pub pixel: f64,
    pub n_pixels: usize,
    /// Resolving power λ/FWHM.
    pub resolution: f64,
    /// Number of lines of every element of [`ELEMENTS`] in 300 Å.
    pub lines_per_300: [usize; ELEMENTS.len()],
    /// Standard deviation, in dex, by which the strengths of all lines are wrong: imperfect physics.
    pub strength_error: f64,
}

impl Default for LineList {
    fn default() -> Self {
        Self {
            seed: 1,
            start: 5000.0,
            pixel: 1.0,
            n_pixels: 300,
            resolution: 2500.0,
            lines_per_300: ELEMENTS.map(|(_, n)| n),
            strength_error: 0.0,
        }
    }
}

impl LineList {
    /// The same lines, all strengths wrong by a standard deviation of `dex`.
    pub fn perturbed(&self, dex: f64) -> Self {
        Self { strength_error: dex, ..self.clone() }
    }

    /// Centres of the pixels, Å.
    pub fn wavelength(&self) -> Vec<f64> {
        (0..self.n_pixels).map(|i| self.start + self.pixel * i as f64).collect()
    }

    pub(super) fn lines(&self) -> Vec<Line> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut errors = ChaCha8Rng::seed_from_u64(self.seed);
        errors.set_stream(1);
        let width = self.pixel * self.n_pixels as f64;
        let mut lines = Vec::new();
        for (element, &per_300) in self.lines_per_300.iter().enumerate() {
            // Every element has at least two lines in any range.
            let n = ((per_300 as f64 * width / 300.0).round() as usize).max(2);
            for _ in 0..n {
                let normal: f64 = StandardNormal.sample(&mut random);
                lines.push(Line {
                    element,
                    wavelength: self.start + width * random.r#gen::<f64>(),
                    excitation: random.gen_range(0.0..5.0),
                    strength: (-0.7 + 0.7 * normal).clamp(-2.5, 1.5),
                    ionic: random.r#gen::<f64>() < 0.15,
                });
            }
        }
        for line in &mut lines {
            let normal: f64 = StandardNormal.sample(&mut errors);
            line.strength += self.strength_error * normal;
        }
        lines
    }
}

//! Broadening of a model's spectrum by rotation or by a Gaussian, in velocity.
//!
//! f(i) = Σₖ wₖ(s) m(i + k), with s the width of the profile in pixels. The model is a band-limited function
//! of the place, so that its convolution with a profile of transfer function K is the sum over pixels with
//! wₖ = 1/π ∫₀^π K(g(ω) s) cos ωk dω: at s = 0 nothing but the pixel itself, and right for profiles narrower
//! than a pixel too, which neither a sampled profile is nor one that is integrated over pixels. g(ω) = ω up
//! to 0.7 of the Nyquist frequency, and levels out from there to it, so that the shares fall off fast; lines
//! that a grid samples well (2.4 pixels FWHM) have next to nothing there.
//!
//! K is an even function: for narrow profiles the flux goes with s², as its derivative by s² does not vanish.
//! The square of the velocity is therefore what is fitted.

use crate::per_pixel::engine::dispatch;
use crate::tensor::lanes::{Kernel, LANES, Lanes};
use std::f64::consts::PI;

/// Pixels beyond the profile's own that have shares.
const TAIL: usize = 8;
/// Part of them that have their whole shares; those of the others fade.
const KEPT: f64 = 0.25;
/// Standard deviations of a Gaussian beyond which it is nothing.
const DEVIATIONS: f64 = 5.5;
/// Part of the Nyquist frequency up to which the transfer function is the profile's own.
const OWN: f64 = 0.7;
/// Pixels for which the shares go linearly, where a velocity is another number of pixels at every pixel.
const SEGMENT: usize = 64;
/// Pixels by which the widths differ between which shares are interpolated.
const BETWEEN: f64 = 0.1;
/// Pixels that are summed together.
const TOGETHER: usize = 4 * LANES;
/// Step of the tabulated transfer function.
const STEP: f64 = 0.05;

/// The profile of a broadening.
#[derive(Debug, Clone)]
pub(super) enum Profile {
    /// Standard deviation 1.
    Gaussian,
    /// Of a rotating star with linear limb darkening (Gray 2005, eq. 18.14), half width 1; its transfer
    /// function and the derivative of that by the square of its argument, over [`STEP`].
    Rotation(Vec<[f64; 2]>),
}

impl Profile {
    /// For arguments up to π times a half width in pixels.
    pub fn rotation(limb_darkening: f64, largest: f64) -> Self {
        let n = (PI * largest / STEP).ceil() as usize + 4;
        Self::Rotation((0..n).map(|i| rotation(limb_darkening, STEP * i as f64)).collect())
    }

    /// Pixels on either side that a profile of width `s` pixels takes.
    pub fn half(&self, s: f64) -> usize {
        half(matches!(self, Self::Rotation(_)), s)
    }

    /// How much of the share of pixel k is kept with a width of `s` pixels, and the derivative of that by the
    /// square of the width: all of it within the profile, and less and less over the pixels beyond it, so
    /// that nothing jumps where another pixel comes in.
    fn kept(&self, k: usize, s: f64) -> [f64; 2] {
        let widths = self.widths();
        let of_fading = (1.0 - KEPT) * TAIL as f64;
        let t = ((k as f64 - widths * s) / of_fading - KEPT / (1.0 - KEPT)).clamp(0.0, 1.0);
        let by_t = -30.0 * (t * (1.0 - t)).powi(2);
        // At no width shares beyond the first pixel are none.
        let t_by_square = if s > 0.0 { -widths / (2.0 * s * of_fading) } else { 0.0 };
        [1.0 - t * t * t * (10.0 - 15.0 * t + 6.0 * t * t), by_t * t_by_square]
    }

    /// Half widths of the profile in units of its width.
    fn widths(&self) -> f64 {
        widths(matches!(self, Self::Rotation(_)))
    }

    /// The transfer function at y, and its derivative by y².
    fn transfer(&self, y: f64) -> [f64; 2] {
        match self {
            Self::Gaussian => {
                let value = (-0.5 * y * y).exp();
                [value, -0.5 * value]
            }
            // Hermite's cubic in y², whose own derivative is that of its values.
            Self::Rotation(table) => {
                let first = ((y / STEP) as usize).min(table.len() - 2);
                let square = |node: usize| (STEP * node as f64).powi(2);
                let (start, length) = (square(first), square(first + 1) - square(first));
                cubic((y * y - start) / length, length, [table[first], table[first + 1]])
            }
        }
    }
}

/// Value and derivative of Hermite's cubic at the part `t` of an interval of some length, whose ends have
/// values and derivatives.
#[inline]
fn cubic(t: f64, length: f64, [[value, slope], [next, next_slope]]: [[f64; 2]; 2]) -> [f64; 2] {
    let [slope, next_slope] = [slope, next_slope].map(|slope| length * slope);
    let (rise, t2) = (next - value, t * t);
    let bend = slope + next_slope - 2.0 * rise;
    let turn = 3.0 * rise - 2.0 * slope - next_slope;
    [value + t * slope + t2 * turn + t2 * t * bend, (slope + 2.0 * t * turn + 3.0 * t2 * bend) / length]
}

/// Pixels on either side that a profile of width `s` pixels takes.
fn half(is_rotation: bool, s: f64) -> usize {
    ((widths(is_rotation) * s).ceil() as usize).saturating_add(TAIL)
}

fn widths(is_rotation: bool) -> f64 {
    if is_rotation { 1.0 } else { DEVIATIONS }
}

/// The transfer function of rotation at y, [2(1 − ε) J₁(y)/y + 2ε (sin y − y cos y)/y³]/(1 − ε/3), and its
/// derivative by y².
fn rotation(limb_darkening: f64, y: f64) -> [f64; 2] {
    // The derivative of J₁(y)/y by y is −J₂(y)/y.
    let (disc, disc_slope) = match y == 0.0 {
        true => (1.0, -0.125),
        false => (2.0 * libm::j1(y) / y, -libm::jn(2, y) / (y * y)),
    };
    let (sphere, sphere_slope) = match y < 1.0 {
        // Σ (−1)ⁿ 6(n + 1)/(2n + 3)! y²ⁿ.
        true => {
            let (mut factorial, mut sum, mut slope) = (6.0, 0.0, 0.0);
            for n in 0..10_i32 {
                let term = f64::from(1 - 2 * (n % 2)) * 6.0 * f64::from(n + 1) / factorial;
                sum += term * y.powi(2 * n);
                slope += if n > 0 { term * f64::from(n) * y.powi(2 * n - 2) } else { 0.0 };
                factorial *= f64::from((2 * n + 4) * (2 * n + 5));
            }
            (sum, slope)
        }
        false => {
            let difference = y.sin() - y * y.cos();
            (3.0 * difference / y.powi(3), 1.5 * (y * y * y.sin() - 3.0 * difference) / y.powi(5))
        }
    };
    let mix = |disc: f64, sphere: f64| {
        ((1.0 - limb_darkening) * disc + limb_darkening * 2.0 / 3.0 * sphere) / (1.0 - limb_darkening / 3.0)
    };
    [mix(disc, sphere), mix(disc_slope, sphere_slope)]
}

/// Shares of pixels 0, ±1, … ±half of a profile of width √`square` pixels, and their derivatives by the
/// square. The shares sum to one.
pub(super) fn shares(profile: &Profile, square: f64, half: usize) -> [Vec<f64>; 2] {
    let s = square.max(0.0).sqrt();
    // Equal steps in ω, as many as leave room for what is beyond `half`.
    let n = half + 2 * TAIL;
    let cosine: Vec<f64> = (0..2 * n).map(|m| (PI * m as f64 / n as f64).cos()).collect();
    let spectrum: Vec<[f64; 2]> = (0..=n)
        .map(|j| {
            let frequency = levelled(PI * j as f64 / n as f64);
            let part = if j == 0 || j == n { 0.5 } else { 1.0 } / n as f64;
            let [value, slope] = profile.transfer(frequency * s);
            [part * value, part * slope * frequency * frequency]
        })
        .collect();
    let mut shares = [vec![0.0; half + 1], vec![0.0; half + 1]];
    let [values, slopes] = &mut shares;
    for (k, (of_value, of_slope)) in values.iter_mut().zip(slopes).enumerate() {
        let (mut sums, mut at) = ([0.0; 2], 0);
        for [value, slope] in &spectrum {
            sums[0] += value * cosine[at];
            sums[1] += slope * cosine[at];
            at += k;
            at -= if at >= 2 * n { 2 * n } else { 0 };
        }
        let [kept, slope] = profile.kept(k, s);
        *of_value = kept * sums[0];
        *of_slope = kept * sums[1] + slope * sums[0];
    }
    let [sum, slope] = [0, 1].map(|which: usize| shares[which][0] + 2.0 * shares[which][1..].iter().sum::<f64>());
    let [values, slopes] = &mut shares;
    for (value, of_square) in values.iter_mut().zip(slopes) {
        *value /= sum;
        *of_square = (*of_square - *value * slope) / sum;
    }
    shares
}

/// Frequencies up to π, which level out before it.
fn levelled(frequency: f64) -> f64 {
    let own = OWN * PI;
    let x = ((frequency - own) / (PI - own)).max(0.0);
    frequency.min(own) + (PI - own) * (x - 2.0 / 3.0 * x.powi(3) + x.powi(5) / 5.0)
}

/// Shares at the beginning of a segment, and how much they gain up to its end; then the same of their
/// derivatives by the square of the velocity.
type Segment = [[Vec<f32>; 2]; 2];

/// Broadened grids.
#[derive(Debug, Clone)]
pub(super) struct Broadening {
    profile: Profile,
    /// Pixels of a km/s at the ends of the segments; one, where it is the same everywhere.
    pixels: Vec<f64>,
    /// km/s.
    pub largest: f64,
    /// Squares of velocities that every fit asks for, and their shares.
    remembered: Vec<(f64, Vec<Segment>)>,
}

impl Broadening {
    /// By rotation where there is a limb darkening, by a Gaussian where there is none. `pixels` are those of
    /// a km/s at any pixel, the first beyond the last of `n_pixels` too; with `is_even` the same everywhere.
    ///
    /// # Errors
    /// The [reach](Self::reach) that leaves no pixel of these: found before tables are made, which grow with
    /// it.
    pub fn new(
        limb_darkening: Option<f64>,
        largest: f64,
        n_pixels: usize,
        is_even: bool,
        pixels: impl Fn(usize) -> f64,
    ) -> Result<Self, usize> {
        let ends = if is_even { 1 } else { n_pixels.div_ceil(SEGMENT) + 1 };
        let pixels: Vec<f64> = (0..ends).map(|end| pixels(end * SEGMENT)).collect();
        let widest = largest * pixels.iter().copied().fold(0.0, f64::max);
        let reach = half(limb_darkening.is_some(), widest);
        if reach >= n_pixels.div_ceil(2) {
            return Err(reach);
        }
        let profile = limb_darkening.map_or(Profile::Gaussian, |darkening| Profile::rotation(darkening, widest));
        Ok(Self { profile, pixels, largest, remembered: Vec::new() })
    }

    pub fn is_rotation(&self) -> bool {
        matches!(self.profile, Profile::Rotation(_))
    }

    /// Pixels at the ends, and around pixels without a model, that broadened spectra do not have.
    pub fn reach(&self) -> usize {
        self.half(self.largest)
    }

    fn half(&self, velocity: f64) -> usize {
        self.profile.half(velocity * self.pixels.iter().copied().fold(0.0, f64::max))
    }

    /// Keeps the shares of velocities with these squares, for fits that begin there.
    pub fn remember(&mut self, squares: impl Iterator<Item = f64>) {
        self.remembered = squares.map(|square| (square, self.segments(square, self.half(square.max(0.0).sqrt())))).collect();
    }

    /// Shares at the ends of the segments of a velocity with this square, and their derivatives by it.
    ///
    /// Widths of neighbouring ends hardly differ: where there are many ends, shares are made for widths some
    /// way apart, and between them there is the cubic of their values and derivatives (a Gaussian's shares
    /// are within 1e-5, those of a rotation within 4e-7, and fluxes within a tenth of that).
    pub fn at_ends(&self, square: f64, half: usize) -> Vec<[Vec<f64>; 2]> {
        let velocity = square.max(0.0).sqrt();
        let (first, last) = (self.pixels[0], self.pixels[self.pixels.len() - 1]);
        let n = (velocity * (last - first) / BETWEEN).ceil().max(1.0) as usize;
        let by_velocity = |mut found: [Vec<f64>; 2], pixels: f64| {
            found[1].iter_mut().for_each(|slope| *slope *= pixels * pixels);
            found
        };
        let own = |pixels: f64| shares(&self.profile, square * pixels * pixels, half);
        // Where there is no width, there is none everywhere.
        if n + 2 >= self.pixels.len() || velocity == 0.0 {
            return self.pixels.iter().map(|pixels| by_velocity(own(*pixels), *pixels)).collect();
        }
        let step = (last - first) / n as f64;
        let nodes: Vec<[Vec<f64>; 2]> = (0..=n).map(|node| own(first + step * node as f64)).collect();
        let between = |pixels: f64| {
            let node = (((pixels - first) / step) as usize).min(n - 1);
            let square_at = |node: usize| square * (first + step * node as f64).powi(2);
            let (start, length) = (square_at(node), square_at(node + 1) - square_at(node));
            let t = (square * pixels * pixels - start) / length;
            let [low, high] = [&nodes[node], &nodes[node + 1]];
            let mut found = [vec![0.0; half + 1], vec![0.0; half + 1]];
            for k in 0..=half {
                let ends = [[low[0][k], low[1][k]], [high[0][k], high[1][k]]];
                [found[0][k], found[1][k]] = cubic(t, length, ends);
            }
            found
        };
        self.pixels.iter().map(|pixels| by_velocity(between(*pixels), *pixels)).collect()
    }

    /// The same as shares at the beginnings of the segments and what these gain over one; a single segment
    /// without gains, where a velocity is as many pixels everywhere.
    fn segments(&self, square: f64, half: usize) -> Vec<Segment> {
        let at_ends = self.at_ends(square, half);
        let single = |values: &[f64]| -> Vec<f32> { values.iter().map(|value| *value as f32).collect() };
        if let [only] = at_ends.as_slice() {
            return vec![[0, 1].map(|which| [single(&only[which]), Vec::new()])];
        }
        let of_ends = |[first, last]: [&[Vec<f64>; 2]; 2]| {
            [0, 1].map(|which| {
                let gains = last[which].iter().zip(&first[which]).map(|(last, first)| (last - first) as f32);
                [single(&first[which]), gains.collect()]
            })
        };
        at_ends.windows(2).map(|ends| of_ends([&ends[0], &ends[1]])).collect()
    }

    /// Broadens rows of `n_pixels` floats, each at the beginning of `width`, by a velocity with this square,
    /// and writes the derivative of the first by the square into `slope` (`[width]`). Beyond the ends there
    /// is what is at them.
    pub fn apply(&self, rows: &mut [f32], slope: &mut [f32], [n_pixels, width]: [usize; 2], square: f64) {
        let half = self.half(square.max(0.0).sqrt());
        let n_whole = n_pixels.next_multiple_of(SEGMENT);
        let made;
        let segments = match self.remembered.iter().find(|(known, _)| *known == square) {
            Some((_, known)) => known,
            None => {
                made = self.segments(square, half);
                &made
            }
        };
        let length = n_whole / segments.len();
        let mut padded = vec![0.0; n_whole + 2 * half];
        let mut found = vec![0.0; n_whole];
        let mut gained = vec![0.0; length];
        let mut broaden = |padded: &[f32], which: usize, to: &mut [f32]| {
            for (index, (of_segment, found)) in segments.iter().zip(found.chunks_exact_mut(length)).enumerate() {
                let [own, gain] = &of_segment[which];
                let around = &padded[index * length..][..length + 2 * half];
                dispatch(Sum { around, shares: own, out: found });
                if !gain.is_empty() {
                    dispatch(Sum { around, shares: gain, out: &mut gained });
                    for (i, (found, gained)) in found.iter_mut().zip(&gained).enumerate() {
                        *found += i as f32 / SEGMENT as f32 * gained;
                    }
                }
            }
            to[..n_pixels].copy_from_slice(&found[..n_pixels]);
        };
        for (index, row) in rows.chunks_exact_mut(width).enumerate() {
            padded[..half].fill(row[0]);
            padded[half..half + n_pixels].copy_from_slice(&row[..n_pixels]);
            padded[half + n_pixels..].fill(row[n_pixels - 1]);
            if index == 0 {
                broaden(&padded, 1, slope);
            }
            broaden(&padded, 0, row);
        }
    }
}

/// Symmetric sums of neighbours: `around` has as many floats before and behind those of `out` as there are
/// shares but one.
struct Sum<'a> {
    around: &'a [f32],
    shares: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Sum<'_> {
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let half = self.shares.len() - 1;
        for (index, out) in self.out.as_chunks_mut::<TOGETHER>().0.iter_mut().enumerate() {
            let around = &self.around[index * TOGETHER..][..TOGETHER + 2 * half];
            let lanes = |at: usize| around[at..at + TOGETHER].as_chunks::<LANES>().0;
            let share = V::splat(self.shares[0]);
            let own = lanes(half);
            let mut sums: [V; TOGETHER / LANES] = std::array::from_fn(|lane| V::load(&own[lane]).multiply(share));
            for (k, share) in self.shares.iter().enumerate().skip(1) {
                let (share, before, behind) = (V::splat(*share), lanes(half - k), lanes(half + k));
                for lane in 0..TOGETHER / LANES {
                    sums[lane] = V::load(&before[lane]).add(V::load(&behind[lane])).multiply_add(share, sums[lane]);
                }
            }
            for (sum, out) in sums.into_iter().zip(out.as_chunks_mut::<LANES>().0) {
                sum.store(out);
            }
        }
    }
}

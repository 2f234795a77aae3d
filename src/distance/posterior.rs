//! The posterior of one star's distance on a grid of x = ln d (kpc):
//!
//! ```text
//! p(d | ϖ, m, M, A) ∝ N(ϖ; 1/d, σ_ϖ) N(M; m − A − 5 log₁₀ d − 10, σ) p(d)      (Xiang et al. 2021, eqs. 18–23, with one p(d))
//! ```
//!
//! Where the density is looked for on few nodes (all over the range, and closely around the maxima of the
//! measurements), then summed on a uniform grid of eight points per width over all that is not below e⁻³⁰ of
//! the maximum. Percentiles invert the trapezoidal sum with its Euler–Maclaurin correction, so that they are
//! of fourth order.

use super::measurements::Measurements;
use super::position::LineOfSight;
use super::prior::DistancePrior;
use crate::statistics::Measured;

/// Distances between which a star is, kpc.
pub const DEFAULT_RANGE: [f64; 2] = [1e-3, 300.0];

/// ln of the smallest density that counts.
const DEPTH: f64 = 30.0;
/// Nodes over the whole range.
const N_COARSE: usize = 48;
/// Nodes on either side of a maximum, a width apart.
const N_AROUND: i32 = 10;
/// Grid points per width.
const POINTS_PER_WIDTH: f64 = 8.0;
/// Grid points.
const POINTS: [usize; 2] = [128, 4096];
/// ln of the density, relative to the maximum, that may be left at the ends of the range.
const ENDS: f64 = -9.0;
/// Φ(−1), 1/2 and Φ(1).
const PROBABILITIES: [f64; 3] = [0.158_655_253_931_457, 0.5, 0.841_344_746_068_543];

/// A star's density per unit of x.
#[derive(Debug, Clone, Copy)]
pub struct Density<'a> {
    pub measurements: Measurements,
    pub prior: DistancePrior,
    /// Where the prior needs it.
    pub sight: Option<&'a LineOfSight>,
    /// Distances that are possible, kpc.
    pub range: [f64; 2],
}

/// What the posterior says; distances in kpc.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistancePosterior {
    /// Maximum of the density per kpc.
    pub mode: f64,
    pub mean: f64,
    /// The 15.87th, 50th and 84.13th percentiles.
    pub percentiles: [f64; 3],
    /// Mean and standard deviation of log₁₀ d.
    pub log10: Measured,
    /// ln of the integral of likelihood and prior over x, without the likelihood's constants.
    pub ln_evidence: f64,
    /// Whether the density goes on beyond the range: then the numbers are those of the range rather than of
    /// the star.
    pub is_limited: bool,
    /// Whether the grid was too coarse (measurements that contradict each other by hundreds of errors).
    pub is_unresolved: bool,
}

/// Memory that is used again from star to star.
#[derive(Debug, Default)]
pub struct Workspace {
    nodes: Vec<[f64; 2]>,
    ln_density: Vec<f64>,
    density: Vec<f64>,
}

/// The part of the range that counts.
struct Support {
    low: f64,
    high: f64,
    width: f64,
    is_limited: bool,
}

impl Density<'_> {
    /// ln of the density per unit of x, without the likelihood's constants.
    #[inline]
    fn ln(&self, x: f64, distance: f64, inverse_distance: f64) -> f64 {
        self.measurements.ln_likelihood(x, inverse_distance) + self.prior.ln_density(x, distance, self.sight) + x
    }

    /// The posterior; `None` where nothing is measured or the numbers are none.
    pub fn posterior(&self, workspace: &mut Workspace) -> Option<DistancePosterior> {
        if self.measurements.parallax.is_none() && self.measurements.ln_distance.is_none() {
            return None;
        }
        let support = self.support(&mut workspace.nodes)?;
        let extent = support.high - support.low;
        let wanted = (extent / support.width * POINTS_PER_WIDTH).ceil();
        let is_unresolved = wanted > POINTS[1] as f64;
        let n = (wanted as usize).clamp(POINTS[0], POINTS[1]);
        let step = extent / n as f64;
        let peak = self.fill(support.low, step, n, &mut workspace.ln_density);
        workspace.density.clear();
        workspace.density.extend(workspace.ln_density.iter().map(|value| (value - peak).exp()));
        let grid = Grid { low: support.low, step, ln_density: &workspace.ln_density, density: &workspace.density };
        let found = grid.summarise(peak);
        found.mode.is_finite().then_some(DistancePosterior { is_limited: support.is_limited, is_unresolved, ..found })
    }

    /// The ln density at n + 1 points, and the greatest.
    fn fill(&self, low: f64, step: f64, n: usize, values: &mut Vec<f64>) -> f64 {
        values.clear();
        let (mut distance, mut inverse) = (low.exp(), (-low).exp());
        let (further, nearer) = (step.exp(), (-step).exp());
        let mut peak = f64::NEG_INFINITY;
        for i in 0..=n {
            let value = self.ln(low + i as f64 * step, distance, inverse);
            peak = peak.max(value);
            values.push(value);
            distance *= further;
            inverse *= nearer;
        }
        peak
    }

    /// Where the density counts, and its narrowest width there.
    fn support(&self, nodes: &mut Vec<[f64; 2]>) -> Option<Support> {
        let [first, last] = self.range.map(f64::ln);
        nodes.clear();
        let mut add = |x: f64| {
            let x = x.clamp(first, last);
            nodes.push([x, self.ln(x, x.exp(), (-x).exp())]);
        };
        (0..=N_COARSE).for_each(|i| add(first + (last - first) * i as f64 / N_COARSE as f64));
        let mut around = |peak: Measured| {
            (-N_AROUND..=N_AROUND).for_each(|i| add(peak.value + f64::from(i) * peak.error));
        };
        self.measurements.peaks().for_each(&mut around);
        if self.measurements.parallax.is_some() && self.measurements.ln_distance.is_some() {
            self.measurements.peaks().map(|peak| self.measurements.climb(peak.value)).for_each(&mut around);
        }
        nodes.sort_unstable_by(|a, b| a[0].total_cmp(&b[0]));
        let greatest = nodes.iter().map(|node| node[1]).fold(f64::NEG_INFINITY, f64::max);
        if !greatest.is_finite() {
            return None;
        }
        let counts = |node: &[f64; 2]| node[1] > greatest - DEPTH;
        let low = nodes.iter().position(counts)?.saturating_sub(1);
        let high = (nodes.iter().rposition(counts)? + 1).min(nodes.len() - 1);
        let near_peaks = nodes[low..=high].iter().filter(|node| node[1] > greatest - 8.0);
        let width = near_peaks.map(|node| self.measurements.width(node[0])).fold(f64::INFINITY, f64::min);
        let at_end = |node: &[f64; 2], end: f64| node[0] == end && node[1] > greatest + ENDS;
        let is_limited = at_end(&nodes[low], first) || at_end(&nodes[high], last);
        (nodes[high][0] > nodes[low][0]).then(|| Support { low: nodes[low][0], high: nodes[high][0], width, is_limited })
    }
}

/// A density at equally spaced x.
struct Grid<'a> {
    low: f64,
    step: f64,
    ln_density: &'a [f64],
    density: &'a [f64],
}

impl Grid<'_> {
    fn x(&self, i: usize) -> f64 {
        self.low + i as f64 * self.step
    }

    fn summarise(&self, peak: f64) -> DistancePosterior {
        let last = self.density.len() - 1;
        let (mut sum, mut sum_x, mut sum_square, mut sum_distance) = (0.0, 0.0, 0.0, 0.0);
        let middle = 0.5 * (self.low + self.x(last));
        let (mut distance, further) = (self.low.exp(), self.step.exp());
        for (i, &density) in self.density.iter().enumerate() {
            let weight = if i == 0 || i == last { 0.5 * density } else { density };
            let x = self.x(i) - middle;
            sum += weight;
            sum_x += weight * x;
            sum_square += weight * x * x;
            sum_distance += weight * distance;
            distance *= further;
        }
        let mean = sum_x / sum;
        let log10 = std::f64::consts::LOG10_E;
        let deviation = (sum_square / sum - mean * mean).max(0.0).sqrt();
        DistancePosterior {
            mode: self.mode().exp(),
            mean: sum_distance / sum,
            percentiles: self.percentiles().map(f64::exp),
            log10: Measured { value: (mean + middle) * log10, error: deviation * log10 },
            ln_evidence: peak + (sum * self.step).ln(),
            is_limited: false,
            is_unresolved: false,
        }
    }

    /// x at which the density per kpc, e^(−x) times this one, is greatest: of a parabola through three
    /// points.
    fn mode(&self) -> f64 {
        let value = |i: usize| self.ln_density[i] - self.x(i);
        let last = self.ln_density.len() - 1;
        let greatest = (0..=last).max_by(|&a, &b| value(a).total_cmp(&value(b))).unwrap_or(0);
        if greatest == 0 || greatest == last {
            return self.x(greatest);
        }
        let [before, at, after] = [value(greatest - 1), value(greatest), value(greatest + 1)];
        let curvature = before - 2.0 * at + after;
        let shift = if curvature < 0.0 { 0.5 * (before - after) / curvature } else { 0.0 };
        self.x(greatest) + shift * self.step
    }

    /// x at the percentiles.
    fn percentiles(&self) -> [f64; 3] {
        let last = self.density.len() - 1;
        let difference = |i: usize| match i {
            0 => self.density[1] - self.density[0],
            _ if i == last => self.density[last] - self.density[last - 1],
            _ => 0.5 * (self.density[i + 1] - self.density[i - 1]),
        };
        // In units of the step. What is left of the correction at the first point is the same everywhere.
        let first = difference(0) / 12.0;
        let total = self.density.iter().sum::<f64>() - 0.5 * (self.density[0] + self.density[last]);
        let total = total - difference(last) / 12.0 + first;
        let mut found = [self.x(last); 3];
        let (mut next, mut trapezoid, mut before) = (0, 0.0, 0.0);
        for i in 1..=last {
            trapezoid += 0.5 * (self.density[i - 1] + self.density[i]);
            let cumulative = trapezoid - difference(i) / 12.0 + first;
            while next < PROBABILITIES.len() && PROBABILITIES[next] * total <= cumulative {
                let target = PROBABILITIES[next] * total;
                let part = hermite_root([before, cumulative], [self.density[i - 1], self.density[i]], target);
                found[next] = self.x(i - 1) + part * self.step;
                next += 1;
            }
            before = cumulative;
        }
        found
    }
}

/// Where in [0, 1] a cubic with these ends and slopes has a value between them.
fn hermite_root([from, to]: [f64; 2], [slope_from, slope_to]: [f64; 2], target: f64) -> f64 {
    let cubic = |t: f64| {
        let s = 1.0 - t;
        s * s * ((1.0 + 2.0 * t) * from + t * slope_from) + t * t * ((3.0 - 2.0 * t) * to - s * slope_to)
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..30 {
        let middle = 0.5 * (low + high);
        if cubic(middle) < target { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
#[path = "posterior_tests.rs"]
mod tests;

//! One star: data, fit, residuals, estimates, and the posterior as ellipses.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Point, Rect, Stroke};
use super::panel::{Heading, Key, Mark, Panel};
use super::spectrum::FittedFlux;
use super::theme::{BLUE, INK, LABEL_SIZE, MUTED, TITLE_SIZE, VERMILLION, faded};
use super::{Figure, has_finite, values};
use crate::validate::number::with_error;
use ndarray::ArrayView2;
use std::borrow::Cow;

/// One estimated parameter.
#[derive(Debug, Clone)]
pub struct StarEstimate<'a> {
    /// Name as written on axes, such as "T_{eff}".
    pub name: Cow<'a, str>,
    /// Unit; empty for none.
    pub unit: &'a str,
    pub value: f64,
    pub error: f64,
}

/// Data, fit and posterior of one star.
#[derive(Debug, Clone, Copy)]
pub struct StarFigure<'a> {
    pub title: &'a str,
    pub fitted: FittedFlux<'a>,
    pub estimates: &'a [StarEstimate<'a>],
    /// Covariance of the estimates in their units and order, `[P, P]`.
    pub covariance: Option<ArrayView2<'a, f64>>,
}

/// Radii of ellipses that hold 39 % and 86 % of a two-dimensional normal distribution.
const ELLIPSES: [f64; 2] = [1.0, 2.0];
/// Half width of the corner's axes in σ.
const CORNER_RANGE: f64 = 3.0;

impl StarFigure<'_> {
    /// Spectrum and residuals on the left; estimates and the corner of ellipses on the right.
    pub fn figure(&self) -> Figure {
        Figure::draw("star", 1240, 620, |canvas| {
            canvas.text((78.0, 18.0), self.title, TITLE_SIZE, INK, Align::Left);
            let (left, right) = canvas.bounds.split_columns(0.54);
            let left = Rect { top: 22.0, ..left };
            self.spectrum(canvas, left);
            self.corner(canvas, Rect { top: 36.0, ..right });
        })
    }

    fn spectrum(&self, canvas: &mut Canvas, cell: Rect) {
        let fitted = &self.fitted;
        let (upper, lower) = cell.split_rows(0.64);
        let x = Axis::covering_logarithmic("wavelength (nm)", values(fitted.wavelength));
        let observed: Vec<f64> =
            fitted.flux.iter().zip(fitted.flux_error).map(|(f, e)| if e.is_finite() { *f } else { f64::NAN }).collect();
        let shifted = |sign: f64| -> Vec<f64> { observed.iter().zip(fitted.flux_error).map(|(f, e)| f + sign * e).collect() };
        let (low, high) = (shifted(-1.0), shifted(1.0));
        let shown: Vec<f64> = values(&observed).chain(values(fitted.fit)).collect();
        let smallest = shown.iter().copied().filter(|flux| *flux > 0.0).fold(f64::INFINITY, f64::min);
        let largest = shown.iter().copied().filter(|flux| flux.is_finite()).fold(0.0, f64::max);
        // infrared fluxes are a hundredth of the optical ones: a linear axis would hide them
        let y = match largest > 20.0 * smallest && shown.iter().all(|flux| flux.is_nan() || *flux > 0.0) {
            true => Axis::covering_logarithmic(fitted.flux_label, shown),
            false => Axis::covering(fitted.flux_label, shown.into_iter().chain([0.0])),
        };
        let legend = vec![Key::new("observed", INK, Mark::Point), Key::new("fit", VERMILLION, Mark::Line)];
        let mut panel = Panel::new(canvas, upper, &Heading::legend(legend), x.clone().without_numbers(), y);
        // Bands need not be in the order of their wavelengths.
        let mut order: Vec<usize> = (0..fitted.wavelength.len().min(fitted.fit.len())).collect();
        order.sort_by(|&a, &b| fitted.wavelength[a].total_cmp(&fitted.wavelength[b]));
        let [along, fit] = [fitted.wavelength, fitted.fit].map(|values| order.iter().map(|&at| values[at]).collect::<Vec<f64>>());
        panel.line(&along, &fit, Stroke::solid(VERMILLION, 1.5));
        panel.error_bars(fitted.wavelength, &low, &high, Stroke::solid(INK, 1.0));
        panel.points(fitted.wavelength, &observed, 2.0, INK);
        if !has_finite(&observed) {
            panel.note("no observed flux");
        }

        let residuals = FittedFlux { flux: &observed, ..*fitted }.residuals();
        let y = Axis::covering("(observed − fit) / σ", residuals.iter().flat_map(|r| [r - 1.0, r + 1.0]).chain([-3.0, 3.0]));
        let mut panel = Panel::new(canvas, lower, &Heading::default(), x, y);
        panel.horizontal(0.0, Stroke::solid(VERMILLION, 1.5));
        let (low, high): (Vec<f64>, Vec<f64>) = residuals.iter().map(|r| (r - 1.0, r + 1.0)).unzip();
        panel.error_bars(fitted.wavelength, &low, &high, Stroke::solid(faded(INK, 0.5), 1.0));
        panel.points(fitted.wavelength, &residuals, 2.0, INK);
    }

    /// Estimates in the upper right, pairs of parameters below the diagonal.
    fn corner(&self, canvas: &mut Canvas, cell: Rect) {
        let n = self.estimates.len();
        for (i, estimate) in self.estimates.iter().enumerate() {
            let unit = if estimate.unit.is_empty() { String::new() } else { format!(" {}", estimate.unit) };
            let text = format!("{} = {}{unit}", estimate.name, with_error(estimate.value, estimate.error));
            canvas.text((cell.right - 16.0, cell.top + 10.0 + 22.0 * i as f64), &text, LABEL_SIZE, INK, Align::Right);
        }
        let Some(covariance) = self.covariance.filter(|covariance| covariance.dim() == (n, n) && n > 1) else { return };
        let corner = Rect::new(cell.left + 70.0, cell.top + 10.0, cell.right - 14.0, cell.bottom - 64.0);
        for row in 1..n {
            for column in 0..row {
                let frame = corner.cell((n - 1, n - 1), (row - 1, column));
                let frame = Rect { right: frame.right - 6.0, top: frame.top + 6.0, ..frame };
                let part = [[column, column], [column, row], [row, row]].map(|[i, j]| covariance[[i, j]]);
                draw_pair(canvas, frame, part);
                if row == n - 1 {
                    self.numbers_below(canvas, frame, &self.estimates[column], part[0].sqrt());
                }
                if column == 0 {
                    self.numbers_left(canvas, frame, &self.estimates[row], part[2].sqrt());
                }
            }
        }
    }

    fn numbers_below(&self, canvas: &mut Canvas, frame: Rect, estimate: &StarEstimate, sigma: f64) {
        let middle = (frame.left + frame.right) / 2.0;
        for (text, y) in [(estimate.name.to_string(), 18.0), (format!("± {}", sigma_text(sigma, estimate.unit)), 38.0)] {
            canvas.text((middle, frame.bottom + y), &text, super::theme::TICK_SIZE, INK, Align::Centre);
        }
    }

    fn numbers_left(&self, canvas: &mut Canvas, frame: Rect, estimate: &StarEstimate, sigma: f64) {
        let middle = (frame.top + frame.bottom) / 2.0;
        for (text, x) in [(estimate.name.to_string(), 34.0), (format!("± {}", sigma_text(sigma, estimate.unit)), 14.0)] {
            canvas.text_upwards((frame.left - x, middle), &text, super::theme::TICK_SIZE, INK);
        }
    }
}

fn sigma_text(sigma: f64, unit: &str) -> String {
    let number = crate::validate::number::significant(sigma, 2);
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// Ellipses of constant density of a covariance `[c_xx, c_xy, c_yy]`, in units of each parameter's σ; the
/// frame spans ±3σ.
fn draw_pair(canvas: &mut Canvas, frame: Rect, [xx, xy, yy]: [f64; 3]) {
    let (middle_x, middle_y) = ((frame.left + frame.right) / 2.0, (frame.top + frame.bottom) / 2.0);
    let corners = [(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom), (frame.right, frame.top)];
    let outline = |canvas: &mut Canvas| {
        canvas.path(&[corners[0], corners[1], corners[2], corners[3], corners[0]], Stroke::solid(MUTED, 1.0));
    };
    outline(canvas);
    let correlation = xy / (xx * yy).sqrt();
    if !correlation.is_finite() {
        canvas.text((middle_x, middle_y), "–", LABEL_SIZE, MUTED, Align::Centre);
        return;
    }
    // x = cos t, y = ρ cos t + √(1 − ρ²) sin t: the Cholesky factor times the unit circle
    let correlation = correlation.clamp(-1.0, 1.0);
    let across = (1.0 - correlation * correlation).sqrt();
    for radius in ELLIPSES {
        let points: Vec<Point> = (0..=72)
            .map(|i| {
                let (sine, cosine) = (f64::from(i) * std::f64::consts::TAU / 72.0).sin_cos();
                let (x, y) = (radius * cosine, radius * (correlation * cosine + across * sine));
                let scale = 0.5 / CORNER_RANGE;
                (middle_x + scale * x * frame.width(), middle_y - scale * y * frame.height())
            })
            .collect();
        canvas.polygon(&points, faded(BLUE, 0.2));
        canvas.path(&points, Stroke::solid(BLUE, 1.0));
    }
    let label = format!("{correlation:.2}").replace('-', "−");
    let at = match correlation < 0.0 {
        true => (frame.right - 6.0, Align::Right),
        false => (frame.left + 6.0, Align::Left),
    };
    canvas.text((at.0, frame.top + 11.0), &label, 12.0, MUTED, at.1);
}

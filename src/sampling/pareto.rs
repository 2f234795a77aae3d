//! Pareto-smoothed weights: the largest weights are replaced by quantiles of the generalised Pareto
//! distribution that is fitted to them, whose shape k̂ says whether they can be trusted (Vehtari, Simpson,
//! Gelman, Yao & Gabry 2024; the fit is that of Zhang & Stephens 2009 with the weak prior of the former).

/// k̂ above which weights are not reliable, whatever their number.
pub const UNRELIABLE_TAIL: f64 = 0.7;
/// A tail of fewer draws is not fitted.
const FEWEST: usize = 5;

/// Smooths the tail of ln weights and returns k̂; NaN, and the weights as they are, where the tail is too
/// short or has no width.
pub fn smooth_tail(ln_weights: &mut [f64]) -> f64 {
    let n = ln_weights.iter().filter(|ln| ln.is_finite()).count();
    let length = (0.2 * n as f64).min(3.0 * (n as f64).sqrt()).ceil() as usize;
    if length < FEWEST || n <= length {
        return f64::NAN;
    }
    let mut order: Vec<usize> = (0..ln_weights.len()).filter(|&i| ln_weights[i].is_finite()).collect();
    order.sort_by(|&a, &b| ln_weights[a].total_cmp(&ln_weights[b]).then(a.cmp(&b)));
    let most = ln_weights[order[n - 1]];
    let threshold = (ln_weights[order[n - length - 1]] - most).exp();
    let tail = &order[n - length..];
    let excess: Vec<f64> = tail.iter().map(|&i| (ln_weights[i] - most).exp() - threshold).collect();
    let Some((shape, scale)) = fit(&excess) else { return f64::NAN };
    for (rank, &i) in tail.iter().enumerate() {
        let p = (rank as f64 + 0.5) / length as f64;
        let quantile = match shape.abs() < 1e-12 {
            true => -(1.0 - p).ln() * scale,
            false => scale * ((-shape * (1.0 - p).ln()).exp() - 1.0) / shape,
        };
        // No weight is above the largest one.
        ln_weights[i] = (threshold + quantile).ln().min(0.0) + most;
    }
    shape
}

/// Shape and scale of the generalised Pareto distribution of ascending excesses; `None` where they have no
/// width.
fn fit(excess: &[f64]) -> Option<(f64, f64)> {
    let n = excess.len();
    let largest = *excess.last()?;
    let quartile = excess[((n as f64 / 4.0 + 0.5).floor() as usize).clamp(1, n) - 1];
    if !(largest > 0.0 && quartile > 0.0) {
        return None;
    }
    let n_points = 30 + (n as f64).sqrt().floor() as usize;
    let shape_of = |b: f64| excess.iter().map(|x| (-b * x).ln_1p()).sum::<f64>() / n as f64;
    let candidates: Vec<(f64, f64)> = (1..=n_points)
        .map(|j| {
            let b = 1.0 / largest + (1.0 - (n_points as f64 / (j as f64 - 0.5)).sqrt()) / (3.0 * quartile);
            let shape = shape_of(b);
            (b, n as f64 * ((-b / shape).ln() - shape - 1.0))
        })
        .filter(|(_, ln)| ln.is_finite())
        .collect();
    let most = candidates.iter().map(|(_, ln)| *ln).fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = candidates.iter().map(|(_, ln)| (ln - most).exp()).sum();
    let b: f64 = candidates.iter().map(|(b, ln)| b * (ln - most).exp()).sum::<f64>() / total;
    let shape = shape_of(b);
    let scale = -shape / b;
    // Towards 0.5 by ten draws' worth.
    let shape = (n as f64 * shape + 5.0) / (n as f64 + 10.0);
    (shape.is_finite() && scale > 0.0 && scale.is_finite()).then_some((shape, scale))
}

//! Slopes of the steps: how a change of a star's entries changes what comes after, backwards.

use super::steps::FittedStep;

/// Position of the smallest distance of |x| from the median of moduli: the entries that set it, with their
/// shares.
fn setting_the_median(row: &[f64]) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..row.len()).filter(|&w| row[w].is_finite()).collect();
    order.sort_by(|&a, &b| row[a].abs().total_cmp(&row[b].abs()));
    let n = order.len();
    match n {
        0 => Vec::new(),
        n if n % 2 == 1 => vec![(order[n / 2], 1.0)],
        _ => vec![(order[n / 2 - 1], 0.5), (order[n / 2], 0.5)],
    }
}

impl FittedStep {
    /// ∂F/∂x `[W]` of a row `x [W]` of finite numbers, given ∂F/∂y `[K]` after the step.
    pub(super) fn pull_back(&self, row: &[f64], after: &[f64]) -> Vec<f64> {
        let n = row.len() as f64;
        match self {
            Self::DivideByMedian => {
                let setting = setting_the_median(row);
                let scale: f64 = setting.iter().map(|&(w, share)| share * row[w].abs()).sum();
                let mut before: Vec<f64> = after.iter().map(|slope| slope / scale).collect();
                let of_scale: f64 = row.iter().zip(after).map(|(x, slope)| -x * slope / (scale * scale)).sum();
                setting.iter().for_each(|&(w, share)| before[w] += of_scale * share * row[w].signum());
                before
            }
            Self::SubtractMean => {
                let mean = after.iter().sum::<f64>() / n;
                after.iter().map(|slope| slope - mean).collect()
            }
            Self::SignedLogarithm => row.iter().zip(after).map(|(x, slope)| slope / (1.0 + x.abs())).collect(),
            Self::UnitNorm => {
                let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                let along: f64 = row.iter().zip(after).map(|(x, slope)| x * slope).sum::<f64>() / (norm * norm);
                row.iter().zip(after).map(|(x, slope)| (slope - x * along) / norm).collect()
            }
            Self::Asinh { softening } => (row.iter().zip(after).zip(softening))
                .map(|((x, slope), scale)| {
                    let scale = f64::from(*scale);
                    slope / (scale * (1.0 + (x / scale).powi(2)).sqrt())
                })
                .collect(),
            Self::ReplaceOutside { minimum, maximum, .. } => {
                let inside = |x: f64| (*minimum..=*maximum).contains(&x);
                row.iter().zip(after).map(|(x, slope)| if inside(*x) { *slope } else { 0.0 }).collect()
            }
            Self::RelativeTo { position } => {
                let mut before = after.to_vec();
                before[*position] = 2.0 * after[*position] - after.iter().sum::<f64>();
                before
            }
            Self::Standardise { deviation, .. } => {
                after.iter().zip(deviation).map(|(slope, deviation)| slope / f64::from(*deviation)).collect()
            }
            Self::Pca { components, .. } => {
                let mut before = vec![0.0; row.len()];
                for (component, slope) in components.rows().into_iter().zip(after) {
                    before.iter_mut().zip(component).for_each(|(sum, c)| *sum += slope * f64::from(*c));
                }
                before
            }
        }
    }
}

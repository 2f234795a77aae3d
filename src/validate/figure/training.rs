//! Loss of training and validation against the epoch, with the boundaries of the stages.

use super::axis::Axis;
use super::canvas::Stroke;
use super::panel::{Heading, Key, Mark, Panel};
use super::theme::{BLUE, MUTED, VERMILLION};
use super::{Figure, has_finite, values};

/// Loss of training and validation against the epoch.
#[derive(Debug, Clone, Copy)]
pub struct TrainingCurves<'a> {
    /// Epoch of each entry, counted over all stages.
    pub epochs: &'a [f64],
    /// Mean loss per star of the training set.
    pub training: &'a [f64],
    /// The same of the validation set; NaN where it was not evaluated.
    pub validation: &'a [f64],
    /// First epoch and name of each stage.
    pub stages: &'a [(f64, String)],
    /// Label of the loss axis, such as "χ² per star".
    pub loss_label: &'a str,
}

impl TrainingCurves<'_> {
    /// The figure. The loss axis is logarithmic unless a loss is not positive.
    pub fn figure(&self) -> Figure {
        let losses = || values(self.training).chain(values(self.validation));
        let x = Axis::covering("epoch", values(self.epochs));
        let y = match losses().filter(|loss| loss.is_finite()).all(|loss| loss > 0.0) {
            true => Axis::covering_logarithmic(self.loss_label, losses()),
            false => Axis::covering(self.loss_label, losses()),
        };
        let legend = vec![Key::new("training", BLUE, Mark::Line), Key::new("validation", VERMILLION, Mark::Line)];
        Figure::draw("training-curves", 820, 440, |canvas| {
            let bounds = canvas.bounds;
            let mut panel = Panel::new(canvas, bounds, &Heading::legend(legend), x, y);
            panel.verticals(self.stages, Stroke::dashed(MUTED, 1.0));
            // validation is often evaluated at some epochs only: join those
            let evaluated: Vec<usize> =
                (0..self.validation.len().min(self.epochs.len())).filter(|&i| self.validation[i].is_finite()).collect();
            let at: Vec<f64> = evaluated.iter().map(|&i| self.epochs[i]).collect();
            let validation: Vec<f64> = evaluated.iter().map(|&i| self.validation[i]).collect();
            for (epochs, losses, color) in [(self.epochs, self.training, BLUE), (&at, &validation, VERMILLION)] {
                panel.line(epochs, losses, Stroke::solid(color, 1.75));
                if epochs.len() <= 40 {
                    panel.points(epochs, losses, 2.5, color);
                }
            }
            if !has_finite(self.training) && !has_finite(self.validation) {
                panel.note("no finite loss");
            }
        })
    }
}

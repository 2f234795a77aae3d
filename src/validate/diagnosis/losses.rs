//! How a training went.

use crate::per_pixel::train::HistoryRow;
use crate::validate::figure::LossCurves;
use crate::validate::number::decimals;
use crate::validate::report::Report;

/// The section of a history; of one that is not known it says so.
pub fn section_of_losses(report: &mut Report, rows: &[HistoryRow]) {
    if rows.is_empty() {
        report.section("Training", "The model's folder has no history of its training (training_history.parquet).");
        return;
    }
    report.section(
        "Training",
        "Losses, mean over the pixels that were trained: chi-square per spectrum of the training and of the validation stars, and the \
         gradient term. Pixels that ended earlier stand at what they keep. Where the loss of validation stays near that of training, \
         models do not follow the noise; a gradient term that still falls at the end asks for more iterations.",
    );
    report.figure(
        "Losses against iterations (epochs of Adam and of joint networks). Dashed lines: stages of the smoothing, and freed labels. \
         Points: what is kept.",
        LossCurves { rows }.figure(),
    );
    let row = |row: &HistoryRow| {
        let validation = if row.validation > 0.0 { row.validation } else { f64::NAN };
        let round = if row.round == 0 { "labels as given".to_owned() } else { format!("labels freed {} times", row.round) };
        vec![round, decimals(row.flux, 4), decimals(validation, 4), decimals(row.gradient, 4)]
    };
    let kept = rows.iter().filter(|row| row.is_kept).map(row).collect();
    report.table("What is kept", ["", "flux, training", "flux, validation", "gradients"], kept);
}

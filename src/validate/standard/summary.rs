//! The head of the report: what was trained on what, and whether it meets its acceptance figures.

use super::acceptance::{Criterion, criteria};
use super::context::{Context, booleans};
use crate::error::Result;
use crate::quantity::plain_symbol;
use crate::validate::number::{percent, significant};
use crate::validate::report::Report;

pub(super) fn section(context: &Context<'_>, report: &mut Report) -> Result<()> {
    let known = context.selected.is_some();
    let text = if known {
        "A differentiable model of the flux, trained on stars with known labels, and the fit of new stars with it. The new \
         stars are simulated: their true parameters are known, so that every claim below is checked against the truth."
    } else {
        "A differentiable model of the flux, trained on stars with known labels, and the fit of new stars with it. The truth \
         of these stars is not known: where there are catalogue values, residuals are shown against them."
    };
    report.section("Summary", text);
    report.table("Model and data.", ["", ""], facts(context));
    let criteria: Vec<Criterion> = criteria(context)?;
    let failed = criteria.iter().filter(|criterion| !criterion.passed).count();
    let caption = match failed {
        0 => format!("Acceptance figures: all {} are met.", criteria.len()),
        _ => format!("Acceptance figures: {failed} of {} are NOT met.", criteria.len()),
    };
    report.table(caption, ["figure", "found", "asked", "result"], criteria.into_iter().map(Criterion::row).collect());
    Ok(())
}

fn facts(context: &Context<'_>) -> Vec<Vec<String>> {
    let input = &context.input;
    let (trained, card) = (input.trained, &input.trained.card);
    let space = &trained.model.space;
    let grid = &trained.model.grid;
    let mut rows = Vec::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    let (shortest, longest) =
        grid.wavelength.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), &nm| (low.min(nm), high.max(nm)));
    let names: Vec<String> = space.parameters.iter().map(|parameter| plain_symbol(&parameter.name)).collect();
    add("model", trained.id().to_owned());
    add("program", card.program.clone());
    add("training data", card.data.clone());
    add("origin of the new stars", input.new_stars.auxiliary.metadata.get("origin").cloned().unwrap_or_default());
    add("flux", format!("{} entries, {} to {} nm", grid.len(), significant(shortest, 3), significant(longest, 3)));
    add("parameters of a star", names.join(", "));
    add("global weights", trained.model.n_weights().to_string());
    let kept = match booleans(input.training_stars, "is_kept") {
        Some(kept) => {
            let removed = kept.iter().filter(|&&kept| !kept).count();
            format!("; {removed} ({}) removed by self-cleaning", percent(removed as f64 / kept.len() as f64))
        }
        None => String::new(),
    };
    add("stars trained on", card.n_training.to_string());
    add("stars for validation", format!("{}, chosen by a hash of their identifier{kept}", card.n_validation));
    add("new stars fitted", input.new_stars.len().to_string());
    for (name, value) in &card.metrics {
        add(&name.replace('_', " "), significant(*value, 4));
    }
    rows
}

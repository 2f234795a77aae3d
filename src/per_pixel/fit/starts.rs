//! Where a search begins: the most similar template, or what is known of the labels, with the nuisances whose
//! flux is nearest.

use super::{Ending, OTHERS, Prior, Search, SpectrumFitter, to_strips};
use crate::per_pixel::engine::whole_blocks;
use crate::per_pixel::strip_rows::{halves_mut, subtract, weighted_squares};
use crate::tensor::row_products::{Strip, strips};

impl SpectrumFitter {
    /// The start: what is known of the labels, where it is told to start, or the most similar template, by
    /// χ².
    pub(super) fn begin(
        &self,
        flux: ndarray::ArrayView1<f32>,
        inverse_variance: ndarray::ArrayView1<f32>,
        prior: Option<Prior>,
        start: Option<Vec<f64>>,
    ) -> Search {
        let w = self.model.n_pixels();
        let ends = self.nuisances.reach();
        let is_good = |i: usize| {
            let weight = inverse_variance[i];
            i >= ends && i + ends < w && weight > 0.0 && weight.is_finite() && flux[i].is_finite()
        };
        let weight = to_strips(w, |i| if is_good(i) { inverse_variance[i] } else { 0.0 });
        let flux = to_strips(w, |i| if is_good(i) { flux[i] } else { 0.0 });
        let n_pixels = (0..w).filter(|&i| is_good(i)).count();
        let is_enough = match prior {
            Some(_) => n_pixels > 0,
            None => n_pixels as f64 >= self.options.pixels_per_label * self.limits.len() as f64,
        };
        let mut work = Vec::new();
        let is_by_template = is_enough && prior.is_none() && start.is_none();
        let mut nearest = match is_by_template {
            true => self.nearest(|template| {
                work.clear();
                work.extend_from_slice(template);
                subtract(&mut work, &flux);
                weighted_squares(&weight, &work)
            }),
            false => vec![0],
        };
        // Starts at the edge of the range are just within the bounds: at a bound a slope may hold them.
        let of_template =
            |template: usize| -> Vec<f64> { self.templates.row(template).iter().map(|value| value.clamp(-0.5, 0.5)).collect() };
        let told: Option<Vec<f64>> = match (&prior, &start) {
            (Some(Prior { centre, .. }), _) => {
                Some(centre.iter().zip(&self.limits).map(|(value, limit)| value.clamp(-limit, *limit)).collect())
            }
            (None, Some(start)) => Some(start.iter().map(|value| value.clamp(-0.5, 0.5)).collect()),
            (None, None) => None,
        };
        let mut velocity = 0.0;
        if let Some(velocities) = self.velocities.as_ref().filter(|_| is_enough) {
            let found = match &told {
                Some(labels) => velocities.best(&self.flux_of(labels), &flux, &weight, &mut work),
                // The template most similar at rest may be one with few lines: the most similar with the
                // velocity that it tells tells it anew.
                None => {
                    let first = velocities.best(&self.fluxes[nearest[0]], &flux, &weight, &mut work);
                    nearest = self.nearest(|template| velocities.chi_square(first, template, &flux, &weight, &mut work));
                    velocities.best(&self.fluxes[nearest[0]], &flux, &weight, &mut work)
                }
            };
            velocity = velocities.part(found);
        }
        let mut scaled: Vec<f64> = told.unwrap_or_else(|| of_template(nearest[0]));
        let mut starts = self.nuisances.starts(velocity);
        let best = match starts.len() > 1 && is_enough {
            true => self.best_start(&scaled, &starts, |observed| {
                subtract(observed, &flux);
                weighted_squares(&weight, observed)
            }),
            false => 0,
        };
        let begins = starts.swap_remove(best);
        let with = |labels: Vec<f64>| labels.into_iter().chain(begins.iter().copied()).collect();
        scaled.extend(&begins);
        let others = nearest[1..].iter().map(|&template| with(of_template(template))).collect();
        let mut search = Search::new(scaled, [flux, weight], n_pixels);
        search.prior = match &self.windows {
            None => prior,
            Some(windows) => {
                let hardly = windows.hardly_known(self.n_labels, self.model.space().len(), &search.weight);
                Some(prior.map_or_else(|| Prior::about_the_middle(hardly.clone()), |prior| prior.with(&hardly)))
            }
        };
        search.others = others;
        search.ending = (!is_enough).then_some(Ending::TooFewPixels);
        search
    }

    /// The most similar template and the next, by χ².
    fn nearest(&self, mut chi_square: impl FnMut(&[Strip]) -> f64) -> Vec<usize> {
        let mut nearest: Vec<(f64, usize)> = Vec::with_capacity(OTHERS + 2);
        for (index, template) in self.fluxes.iter().enumerate() {
            let found = chi_square(template);
            if nearest.len() <= OTHERS || nearest.last().is_some_and(|(last, _)| found < *last) {
                let place = nearest.partition_point(|(other, _)| *other <= found);
                nearest.insert(place, (found, index));
                nearest.truncate(OTHERS + 1);
            }
        }
        nearest.into_iter().map(|(_, index)| index).collect()
    }

    /// The flux of scaled labels.
    fn flux_of(&self, labels: &[f64]) -> Vec<Strip> {
        let w = self.model.n_pixels();
        let scaled: Vec<f32> = labels.iter().map(|value| *value as f32).collect();
        let mut flux = vec![Strip::default(); strips(w)];
        self.model.evaluate(0..whole_blocks(w), &self.model.shared(&scaled, false), false, halves_mut(&mut flux));
        flux
    }

    /// The number of the best of some starts of the nuisances by the χ² of their flux, with these scaled
    /// labels.
    fn best_start(&self, labels: &[f64], starts: &[Vec<f64>], chi_square: impl Fn(&mut [Strip]) -> f64) -> usize {
        let (w, flux) = (self.model.n_pixels(), self.flux_of(labels));
        let mut observed = Vec::new();
        let mut best = (f64::INFINITY, 0);
        for (index, start) in starts.iter().enumerate() {
            self.nuisances.apply(&mut flux.clone(), start, &mut observed);
            let found = chi_square(&mut observed[..strips(w)]);
            if found < best.0 {
                best = (found, index);
            }
        }
        best.1
    }
}

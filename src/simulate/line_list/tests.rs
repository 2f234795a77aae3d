use super::lines::FIRST_RATIO;
use super::*;
use crate::per_pixel::LabelSpace;
use ndarray::Axis;

fn space(labels: ndarray::ArrayView2<f64>) -> LabelSpace {
    let names = LABELS.map(|(name, _)| name.to_owned());
    LabelSpace::covering(&names, &LABELS.map(|(_, unit)| unit.to_owned()), labels).unwrap()
}

#[test]
fn gradients_are_those_of_central_differences() {
    let synthesis = Synthesis::new(&LineList { n_pixels: 120, ..LineList::default() });
    for wide in [false, true] {
        let population = Population { wide, ..Population::default() };
        let labels = population.references(References::Scattered, 6);
        let (flux, gradient) = synthesis.flux_and_gradient(labels.view());
        assert_eq!(flux, synthesis.flux(labels.view()));
        for (k, (name, _)) in LABELS.iter().enumerate() {
            let step = if k == 0 { 2.0 } else { 1e-3 };
            let at = |multiple: f64| {
                let mut shifted = labels.clone();
                shifted.column_mut(k).mapv_inplace(|value| value + multiple * step);
                synthesis.flux(shifted.view())
            };
            let difference = ((at(1.0) - at(-1.0)) * 8.0 - (at(2.0) - at(-2.0))) / (12.0 * step);
            let own = gradient.index_axis(Axis(1), k);
            let scale = own.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
            let worst = (&difference - &own).iter().fold(0.0_f64, |worst, error| worst.max(error.abs()));
            // Seen: below 2e-9 of the largest gradient of the label.
            assert!(worst < 1e-8 * scale && scale > 0.0, "{name}: {worst:e} of {scale:e}");
        }
    }
}

#[test]
fn spectra_are_blended_but_not_black() {
    let synthesis = Synthesis::new(&LineList::default());
    for wide in [false, true] {
        let flux = synthesis.flux(Population { wide, ..Population::default() }.labels(300).view());
        let mean = flux.mean().unwrap();
        let lowest = flux.iter().copied().fold(f64::INFINITY, f64::min);
        assert!((0.7..0.97).contains(&mean) && lowest > 0.02, "wide {wide}: mean {mean}, lowest {lowest}");
        assert!(flux.iter().all(|value| *value <= 1.0));
    }
}

/// R² of the regression of column `k` on all others.
fn explained(labels: &ndarray::Array2<f64>, k: usize) -> f64 {
    let scaled = space(labels.view()).scale(labels.view());
    let others: Vec<usize> = (0..N_LABELS).filter(|other| *other != k).collect();
    let design =
        nalgebra::DMatrix::from_fn(scaled.nrows(), N_LABELS, |i, j| others.get(j).map_or(1.0, |&other| scaled[[i, other]]));
    let target = nalgebra::DVector::from_fn(scaled.nrows(), |i, _| scaled[[i, k]]);
    let fit = design.clone().svd(true, true).solve(&target, 1e-10).unwrap();
    let residual = &target - design * fit;
    1.0 - residual.norm_squared() / target.add_scalar(-target.mean()).norm_squared()
}

#[test]
fn abundances_follow_the_others_and_references_do_not() {
    let population = Population::default();
    let stars = population.labels(2000);
    let scattered = population.references(References::Scattered, 400);
    let permuted = population.permuted(stars.view());
    for (k, (name, _)) in LABELS.iter().enumerate().skip(FIRST_RATIO) {
        let of_references = explained(&scattered, k);
        assert!(explained(&permuted, k) < 0.05);
        // Cr and Ni hardly follow α: there is nothing to cheat with.
        if !matches!(*name, "cr_fe" | "ni_fe") {
            let of_stars = explained(&stars, k);
            assert!(of_stars > 0.7 && of_references < 0.6, "{name}: {of_stars} against {of_references}");
        }
    }
    let mut sorted: Vec<f64> = permuted.column(5).to_vec();
    let mut original: Vec<f64> = stars.column(5).to_vec();
    sorted.sort_by(f64::total_cmp);
    original.sort_by(f64::total_cmp);
    assert_eq!(sorted, original);
}

#[test]
fn a_star_does_not_depend_on_its_company() {
    let (synthesis, population) = (Synthesis::new(&LineList::default()), Population::default());
    let many = population.observe(&synthesis, population.labels(20).view(), [20.0, 120.0]);
    let few = population.observe(&synthesis, population.labels(7).view(), [20.0, 120.0]);
    assert_eq!(few.flux, many.flux.slice(ndarray::s![..7, ..]));
    assert_eq!(few.inverse_variance, many.inverse_variance.slice(ndarray::s![..7, ..]));
    let clean = synthesis.flux(many.labels.view());
    let pulls: Vec<f64> = ndarray::Zip::from(&many.flux)
        .and(&many.inverse_variance)
        .and(&clean)
        .map_collect(|flux, weight, clean| (f64::from(*flux) - clean) * f64::from(*weight).sqrt())
        .into_iter()
        .collect();
    let scatter = crate::statistics::robust_scatter(&pulls);
    assert!((scatter - 1.0).abs() < 0.05, "{scatter}");
}

#[test]
fn strengths_are_perturbed_and_libraries_are_warned_of() {
    let (list, population) = (LineList::default(), Population::default());
    let stars = population.labels(500);
    let library = |list: &LineList, kind| Synthesis::new(list).library(population.references(kind, 101).view());
    let (exact, perturbed) = (library(&list, References::Scattered), library(&list.perturbed(0.1), References::Scattered));
    assert_eq!(exact.labels, perturbed.labels);
    let difference = (&exact.gradient - &perturbed.gradient).mapv(f32::abs).sum() / exact.gradient.mapv(f32::abs).sum();
    assert!((0.05..0.4).contains(&difference), "{difference}");

    let space = space(stars.view());
    assert_eq!(exact.weaknesses(&space), Vec::<String>::new());
    let track = library(&list, References::AlphaTrack).weaknesses(&space).join("\n");
    assert!(track.contains("mg_fe and o_fe run together") || track.contains("o_fe run together"), "{track}");
    let solar = library(&list, References::Solar).weaknesses(&space).join("\n");
    assert!(solar.contains("spread in n_fe by 0.000"), "{solar}");
}

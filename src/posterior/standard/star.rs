//! χ² of the flux of one star with its derivatives.
//!
//! Streams are vectors over the wavelengths: the residual, and the Jacobian's column of every free parameter.
//! They are made eight wavelengths at a time and whitened together.

use super::family::{Role, StandardFamily};
use super::network::{Network, Tape};
use super::whitened::{RecentPanels, inner_products};
use crate::noise::Whitening;
use crate::optimise::dense::dot;
use crate::tensor::Order;
use crate::tensor::functions::exp;
use crate::tensor::lanes::{Block, LANES, Lanes, blocks, floats, floats_mut};

/// The data of one star.
#[derive(Clone, Copy)]
pub struct Data<'a> {
    /// `[W]`.
    pub flux: &'a [f32],
    pub whitening: &'a Whitening,
    pub star: usize,
}

/// Where the results of one star go: `[F]`, `[F, F]`, `[F, F]`; empty for orders that do not need them.
pub struct Products<'a> {
    pub loss: &'a mut f64,
    pub gradient: &'a mut [f64],
    pub curvature: &'a mut [f64],
    /// 2 Σ (C⁻¹r)·∂²f.
    pub residual_curvature: &'a mut [f64],
}

/// The network as it was last evaluated.
#[derive(Default)]
struct Evaluation {
    tape: Tape,
    /// The labels of the tape, and whether it has slopes there.
    labels: Vec<f32>,
    has_slopes: bool,
}

impl Evaluation {
    fn new(network: &Network) -> Self {
        Self { tape: network.tape(), labels: vec![f32::NAN; network.n_labels], has_slopes: false }
    }

    /// At the labels that have these positions; where dust and distance alone have moved, the tape stays.
    #[inline(always)]
    fn follow<V: Lanes>(&mut self, network: &Network, positions: &[usize], coordinates: &[f64], needs_slopes: bool) {
        let mut has_moved = needs_slopes && !self.has_slopes;
        for (label, &position) in self.labels.iter_mut().zip(positions) {
            let moved = coordinates[position] as f32;
            has_moved |= moved != *label;
            *label = moved;
        }
        if has_moved || positions.is_empty() {
            network.forward::<V>(&self.labels, needs_slopes, &mut self.tape);
            self.has_slopes = needs_slopes;
        }
    }
}

/// What a second star adds to the working memory.
struct Second {
    network: Evaluation,
    /// The flux of either star.
    fluxes: [Vec<Block>; 2],
}

/// Working memory, made once for many stars.
#[derive(Default)]
pub struct Workspace {
    network: Evaluation,
    second: Option<Second>,
    /// R(λ; ξ), the flux over ϖ², and the flux.
    curve: Vec<Block>,
    relative: Vec<Block>,
    flux: Vec<Block>,
    observed: Vec<Block>,
    panels: RecentPanels,
    /// `[stream][blocks(W)]`, for an even number of streams.
    streams: Vec<Block>,
    whitened: Vec<Block>,
    /// `[stream][stream]`, the lower triangle.
    products: Vec<f64>,
    /// C⁻¹ r, and two more vectors as long as the widest layer.
    weighted: Vec<f32>,
    adjoints: [Vec<Block>; 2],
    ln_slopes: Vec<f32>,
    /// The same times C⁻¹ r and the flux over ϖ².
    weighted_slopes: Vec<f32>,
    n_free: usize,
}

impl Workspace {
    /// For how many free parameters it is made.
    pub fn n_free(&self) -> usize {
        self.n_free
    }

    /// The flux of the last evaluation.
    pub fn flux(&self) -> &[f32] {
        floats(&self.flux)
    }

    /// Of the last evaluation with derivatives, whitened: model less data (row 0), and the derivatives of the
    /// flux along the free coordinates.
    pub fn whitened(&self, row: usize) -> &[f32] {
        let width = self.flux.len();
        floats(&self.whitened[row * width..(row + 1) * width])
    }

    /// For stars of `family` with `n_free` free parameters.
    pub fn new(family: &StandardFamily, n_free: usize) -> Self {
        let width = blocks(family.n_wavelengths);
        let n_streams = even(1 + n_free);
        let widest = family.network.layers.iter().map(|layer| blocks(layer.n_outputs)).max().unwrap_or(width);
        Self {
            network: Evaluation::new(&family.network),
            second: family.second.as_ref().map(|_| Second {
                network: Evaluation::new(&family.network),
                fluxes: [vec![Block::default(); width], vec![Block::default(); width]],
            }),
            curve: family.dust.as_ref().map_or_else(
                || vec![Block::default(); width],
                |dust| dust.ln_curve.iter().map(|b| Block(b.0.map(f32::exp))).collect(),
            ),
            relative: vec![Block::default(); width],
            flux: vec![Block::default(); width],
            observed: vec![Block::default(); width],
            panels: RecentPanels::default(),
            streams: vec![Block::default(); n_streams * width],
            whitened: vec![Block::default(); n_streams * width],
            products: vec![0.0; n_streams * n_streams],
            weighted: vec![0.0; width * LANES],
            adjoints: [vec![Block::default(); widest], vec![Block::default(); widest]],
            ln_slopes: vec![0.0; n_free * family.n_wavelengths],
            weighted_slopes: vec![0.0; n_free * family.n_wavelengths],
            n_free,
        }
    }
}

/// The next even number.
fn even(n: usize) -> usize {
    n.next_multiple_of(2)
}

/// The parts of the flux besides the network, at one star's coordinates: values with first and second
/// derivatives.
struct Factors {
    extinction: [f64; 3],
    /// tanh ξ.
    variation: [f64; 3],
    /// ϖ².
    dilution: [f64; 3],
}

impl Factors {
    #[inline(always)]
    fn new(family: &StandardFamily, coordinates: &[f64]) -> Self {
        let value = |position: usize| family.value(position, coordinates[position]);
        let extinction = family.dust.as_ref().map_or([0.0; 3], |dust| value(dust.amount));
        let variation = match family.dust.as_ref().and_then(|dust| dust.variation.as_ref()) {
            None => [0.0; 3],
            Some((xi, _)) => {
                let [x, first, second] = value(*xi);
                let t = x.tanh();
                let slope = 1.0 - t * t;
                [t, slope * first, slope * second - 2.0 * t * slope * first * first]
            }
        };
        let dilution = family.parallax.map_or([1.0, 0.0, 0.0], |position| {
            let [x, first, second] = value(position);
            [x * x, 2.0 * x * first, 2.0 * (first * first + x * second)]
        });
        Self { extinction, variation, dilution }
    }
}

/// χ² and, by `order`, its derivatives for the `free` parameters of a star at `coordinates [P]`.
#[inline(always)]
pub fn evaluate<V: Lanes>(
    family: &StandardFamily,
    data: Data<'_>,
    coordinates: &[f64],
    free: &[usize],
    order: Order,
    work: &mut Workspace,
    out: Products<'_>,
) {
    if !coordinates.iter().all(|value| value.is_finite()) {
        *out.loss = f64::NAN;
        out.gradient.fill(0.0);
        out.curvature.fill(0.0);
        return;
    }
    let free = if order == Order::Value { &[] } else { free };
    let (w, width) = (family.n_wavelengths, blocks(family.n_wavelengths));
    let factors = Factors::new(family, coordinates);
    let is_label = |&position: &usize| matches!(family.roles[position], Role::Label(_) | Role::OfSecond(_));
    let needs_slopes = order == Order::Second || free.iter().any(is_label);
    work.network.follow::<V>(&family.network, &family.labels, coordinates, needs_slopes);
    if let (Some(second), Some(labels)) = (&mut work.second, &family.second) {
        second.network.follow::<V>(&family.network, labels, coordinates, needs_slopes);
    }
    floats_mut(&mut work.observed)[..w].copy_from_slice(data.flux);
    let n_streams = even(1 + free.len());
    make_streams::<V>(family, &factors, free, work);
    let Workspace { panels, streams, whitened, products, .. } = work;
    let panels = panels.of::<V>(data.whitening, data.star);
    let (streams, whitened) = (&mut streams[..n_streams * width], &mut whitened[..n_streams * width]);
    streams[(1 + free.len()) * width..].fill(Block::default());
    panels.whiten::<V>(streams, whitened, width);
    inner_products::<V>(whitened, width, products);
    let product = |i: usize, j: usize| products[i * n_streams + j];
    *out.loss = product(0, 0);
    let n = free.len();
    for a in 0..n {
        out.gradient[a] = 2.0 * product(1 + a, 0);
        for b in 0..=a {
            let curvature = 2.0 * product(1 + a, 1 + b);
            out.curvature[a * n + b] = curvature;
            out.curvature[b * n + a] = curvature;
        }
    }
    if order == Order::Second {
        let residual = &floats(&work.whitened[..width])[..w];
        data.whitening.transpose_whiten(data.star, residual, &mut work.weighted[..w]);
        residual_curvature(family, &factors, free, work, out.residual_curvature);
    }
}

/// Residual and Jacobian columns, eight wavelengths at a time.
#[inline(always)]
fn make_streams<V: Lanes>(family: &StandardFamily, factors: &Factors, free: &[usize], work: &mut Workspace) {
    let width = blocks(family.n_wavelengths);
    let splat = |value: f64| V::splat(value as f32);
    let [extinction, extinction_slope, _] = factors.extinction;
    let [dilution, dilution_slope, _] = factors.dilution;
    let variation = family.dust.as_ref().and_then(|dust| Some((dust, dust.variation.as_ref()?)));
    if let Some((dust, (_, slope))) = variation {
        for ((curve, slope), ln_curve) in work.curve[..width].iter_mut().zip(slope).zip(&dust.ln_curve) {
            exp(V::load(&slope.0).multiply_add(splat(factors.variation[0]), V::load(&ln_curve.0))).store(&mut curve.0);
        }
    }
    let (curve, relative, flux) = (&work.curve[..width], &mut work.relative[..width], &mut work.flux[..width]);
    let tape = &work.network.tape;
    let (y, observed, residual) = (&tape.output(0, width)[..width], &work.observed[..width], &mut work.streams[..width]);
    match &mut work.second {
        None => {
            for b in 0..width {
                let fraction = exp(V::load(&curve[b].0).multiply_add(splat(-extinction), V::load(&y[b].0)));
                fraction.store(&mut relative[b].0);
                let predicted = fraction.multiply(splat(dilution));
                predicted.store(&mut flux[b].0);
                predicted.subtract(V::load(&observed[b].0)).store(&mut residual[b].0);
            }
        }
        Some(Second { network, fluxes: [first, second] }) => {
            let y_of_second = &network.tape.output(0, width)[..width];
            for b in 0..width {
                let dust = V::load(&curve[b].0).multiply(splat(-extinction));
                let (one, other) = (exp(dust.add(V::load(&y[b].0))), exp(dust.add(V::load(&y_of_second[b].0))));
                one.multiply(splat(dilution)).store(&mut first[b].0);
                other.multiply(splat(dilution)).store(&mut second[b].0);
                let fraction = one.add(other);
                fraction.store(&mut relative[b].0);
                let predicted = fraction.multiply(splat(dilution));
                predicted.store(&mut flux[b].0);
                predicted.subtract(V::load(&observed[b].0)).store(&mut residual[b].0);
            }
        }
    }
    let (relative, flux) = (&work.relative[..width], &work.flux[..width]);
    let of_first = work.second.as_ref().map_or(flux, |second| &second.fluxes[0][..width]);
    for (&position, column) in free.iter().zip(work.streams[width..].chunks_exact_mut(width)) {
        // Column = factor · left · right.
        let (factor, left, right) = match family.roles[position] {
            Role::Label(label) => (1.0, of_first, Some(tape.output(1 + label, width))),
            // Its flux times its slope follows.
            Role::OfSecond(_) => (0.0, flux, None),
            Role::Extinction => (-extinction_slope, flux, Some(curve)),
            Role::Variation => (-extinction * factors.variation[1], flux, Some(curve)),
            Role::Parallax => (dilution_slope, relative, None),
        };
        match right {
            Some(right) => {
                for b in 0..width {
                    let product = V::load(&left[b].0).multiply(V::load(&right[b].0));
                    product.multiply(splat(factor)).store(&mut column[b].0);
                }
            }
            None => (0..width).for_each(|b| V::load(&left[b].0).multiply(splat(factor)).store(&mut column[b].0)),
        }
        let of_second = match family.roles[position] {
            Role::Label(label) if family.shares(label) => Some(label),
            Role::OfSecond(label) => Some(label),
            _ => None,
        };
        if let (Some(label), Some(Second { network, fluxes })) = (of_second, &work.second) {
            let slope = network.tape.output(1 + label, width);
            for b in 0..width {
                let sum = V::load(&fluxes[1][b].0).multiply_add(V::load(&slope[b].0), V::load(&column[b].0));
                sum.store(&mut column[b].0);
            }
        }
        if let (Role::Variation, Some((_, (_, slope)))) = (family.roles[position], variation) {
            (0..width).for_each(|b| V::load(&column[b].0).multiply(V::load(&slope[b].0)).store(&mut column[b].0));
        }
    }
}

/// 2 Σ q ∂²f/∂a∂b with q = C⁻¹r, from f = a·g, g = exp(y − E·R): ∂²f = f (∂ln g ∂ln g + ∂²ln g) and the
/// factors of ϖ².
#[inline(always)]
fn residual_curvature(family: &StandardFamily, factors: &Factors, free: &[usize], work: &mut Workspace, out: &mut [f64]) {
    let (w, width, n) = (family.n_wavelengths, blocks(family.n_wavelengths), free.len());
    let [extinction, extinction_slope, extinction_bend] = factors.extinction;
    let [dilution, dilution_slope, dilution_bend] = factors.dilution;
    let [_, variation_slope, variation_bend] = factors.variation;
    let curve = floats(&work.curve);
    let shape = family.dust.as_ref().and_then(|dust| dust.variation.as_ref()).map(|(_, slope)| floats(slope));
    let shape_at = |i: usize| shape.map_or(0.0, |shape| f64::from(shape[i]));
    for (slopes, &position) in work.ln_slopes.chunks_exact_mut(w).zip(free) {
        match family.roles[position] {
            Role::Label(label) => slopes.copy_from_slice(&floats(work.network.tape.output(1 + label, width))[..w]),
            // No family with a second star gets here (`StandardEngine::has`).
            Role::OfSecond(_) => slopes.fill(0.0),
            Role::Extinction => {
                slopes.iter_mut().zip(curve).for_each(|(slope, r)| *slope = -(extinction_slope as f32) * r);
            }
            Role::Variation => slopes
                .iter_mut()
                .enumerate()
                .for_each(|(i, slope)| *slope = (-extinction * variation_slope * shape_at(i)) as f32 * curve[i]),
            Role::Parallax => slopes.fill(0.0),
        }
    }
    // q·g in place of q.
    work.weighted.iter_mut().zip(floats(&work.relative)).for_each(|(q, g)| *q *= g);
    let weighted = &work.weighted[..w];
    let sum = |each: &dyn Fn(usize) -> f64| (0..w).map(|i| f64::from(weighted[i]) * each(i)).sum::<f64>();
    let slopes = |a: usize| &work.ln_slopes[a * w..(a + 1) * w];
    for (product, slopes) in work.weighted_slopes.chunks_exact_mut(w).zip(work.ln_slopes.chunks_exact(w)) {
        product.iter_mut().zip(weighted).zip(slopes).for_each(|((to, q), slope)| *to = q * slope);
    }
    let weighted_slopes = |a: usize| &work.weighted_slopes[a * w..(a + 1) * w];
    let total: f64 = weighted.iter().map(|&q| f64::from(q)).sum();
    out.fill(0.0);
    for a in 0..n {
        for b in 0..=a {
            let (left, right) = (family.roles[free[a]], family.roles[free[b]]);
            out[a * n + b] = match (left, right) {
                (Role::Parallax, Role::Parallax) => dilution_bend * total,
                (Role::Parallax, _) => dilution_slope * dot(weighted, slopes(b)),
                (_, Role::Parallax) => dilution_slope * dot(weighted, slopes(a)),
                _ => {
                    let squares = dot(weighted_slopes(a), slopes(b));
                    let bend = match (left, right) {
                        (Role::Extinction, Role::Extinction) => -extinction_bend * dot(weighted, &curve[..w]),
                        (Role::Extinction, Role::Variation) | (Role::Variation, Role::Extinction) => {
                            -extinction_slope * variation_slope * sum(&|i| f64::from(curve[i]) * shape_at(i))
                        }
                        (Role::Variation, Role::Variation) => {
                            let bend = |i: usize| variation_slope.powi(2) * shape_at(i).powi(2) + variation_bend * shape_at(i);
                            -extinction * sum(&|i| f64::from(curve[i]) * bend(i))
                        }
                        _ => 0.0,
                    };
                    dilution * (squares + bend)
                }
            };
        }
    }
    // The network's own Hessian, contracted with q·f.
    let n_labels = family.labels.len();
    let mut hessian = vec![0.0; n_labels * n_labels];
    let [adjoint, other] = &mut work.adjoints;
    let values = floats_mut(adjoint);
    values.fill(0.0);
    values.iter_mut().zip(weighted).for_each(|(to, &q)| *to = q * dilution as f32);
    family.network.add_hessian(&work.network.tape, adjoint, other, &mut hessian);
    for a in 0..n {
        for b in 0..=a {
            if let (Role::Label(k), Role::Label(l)) = (family.roles[free[a]], family.roles[free[b]]) {
                out[a * n + b] += hessian[k.max(l) * n_labels + k.min(l)];
            }
            out[a * n + b] *= 2.0;
            out[b * n + a] = out[a * n + b];
        }
    }
}

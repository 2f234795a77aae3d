//! Products of powers of the scaled labels.

use crate::error::{Error, Result};

/// Largest power of a label: beyond it numbers in single precision say nothing.
const LARGEST_POWER: u8 = 12;
/// Most terms: the equations of a pixel have the square of it.
pub(super) const MOST_TERMS: usize = 4000;

/// Products of powers of L labels, each once.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    n_labels: usize,
    /// `[T][L]`.
    powers: Vec<Vec<u8>>,
    /// Labels of a term with their powers `[T]`.
    factors: Vec<Vec<(usize, u8)>>,
    /// Terms that a label is a factor of `[L]`, rising.
    acting: Vec<Vec<u32>>,
}

impl Terms {
    /// From the powers `[T][L]`.
    ///
    /// # Errors
    /// `Model` for none or too many, terms that are there twice, and powers that are too large.
    pub fn new(n_labels: usize, powers: Vec<Vec<u8>>) -> Result<Self> {
        if !(1..=MOST_TERMS).contains(&powers.len()) || n_labels == 0 {
            return Err(Error::model("terms of a polynomial")
                .found(match powers.len() > MOST_TERMS {
                    // What makes them may have stopped there.
                    true => format!("more than {MOST_TERMS} of {n_labels} labels"),
                    false => format!("{} of {n_labels} labels", powers.len()),
                })
                .expected(format!("1 to {MOST_TERMS} of one label or more")));
        }
        let mut sorted: Vec<&Vec<u8>> = powers.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::model("terms of a polynomial")
                .found(format!("the powers {:?} twice", pair[0]))
                .expected("every product of powers once"));
        }
        let is_faulty = |powers: &&Vec<u8>| powers.len() != n_labels || powers.iter().any(|power| *power > LARGEST_POWER);
        if let Some(faulty) = powers.iter().find(is_faulty) {
            return Err(Error::model("terms of a polynomial")
                .found(format!("the powers {faulty:?}"))
                .expected(format!("{n_labels} powers from 0 to {LARGEST_POWER}")));
        }
        let of_term = |powers: &Vec<u8>| powers.iter().copied().enumerate().filter(|(_, power)| *power > 0).collect();
        let of_label = |k: usize| (0..powers.len()).filter(|&t| powers[t][k] > 0).map(|t| t as u32).collect();
        let (factors, acting) = (powers.iter().map(of_term).collect(), (0..n_labels).map(of_label).collect());
        Ok(Self { n_labels, powers, factors, acting })
    }

    /// The structured polynomial: products of the core labels to degree `core`, each abundance ratio times
    /// products of core labels to degree `cross`, and powers of each abundance ratio alone up to `ratio`.
    /// `is_ratio [L]` says which labels are abundance ratios.
    ///
    /// # Errors
    /// When there are too many.
    pub fn structured(is_ratio: &[bool], core: u8, cross: u8, ratio: u8) -> Result<Self> {
        let l = is_ratio.len();
        let cores: Vec<usize> = (0..l).filter(|&k| !is_ratio[k]).collect();
        let of_cores = |degree: u8| -> Vec<Vec<u8>> {
            let mut found = vec![vec![0; l]];
            for &k in &cores {
                let grown = found.iter().flat_map(|powers| {
                    let left = degree - powers.iter().sum::<u8>();
                    (0..=left).map(move |power| {
                        let mut powers = powers.clone();
                        powers[k] = power;
                        powers
                    })
                });
                found = grown.take(MOST_TERMS + 1).collect();
            }
            found
        };
        let crossed = of_cores(cross);
        let of_ratio = |k: usize| {
            let times = crossed.iter().cloned().map(move |mut powers| {
                powers[k] = 1;
                powers
            });
            times.chain((2..=ratio).map(move |power| {
                let mut powers = vec![0; l];
                powers[k] = power;
                powers
            }))
        };
        let ratios = (0..l).filter(|&k| is_ratio[k]).flat_map(of_ratio);
        Self::new(l, of_cores(core).into_iter().chain(ratios).take(MOST_TERMS + 1).collect())
    }

    /// Number of terms T.
    pub fn len(&self) -> usize {
        self.powers.len()
    }

    /// Whether there is none (never).
    pub fn is_empty(&self) -> bool {
        self.powers.is_empty()
    }

    /// Number of labels L.
    pub fn n_labels(&self) -> usize {
        self.n_labels
    }

    /// `[T][L]`.
    pub fn powers(&self) -> &[Vec<u8>] {
        &self.powers
    }

    /// Sum of the powers of a term.
    pub fn degree(&self, term: usize) -> i32 {
        self.powers[term].iter().map(|power| i32::from(*power)).sum()
    }

    /// The terms that a label is a factor of, rising.
    pub fn acting(&self, label: usize) -> &[u32] {
        &self.acting[label]
    }

    /// All products at labels `[L]`: `[T]`.
    pub fn values(&self, at: &[f64]) -> Vec<f64> {
        self.factors.iter().map(|factors| factors.iter().map(|&(k, power)| at[k].powi(i32::from(power))).product()).collect()
    }

    /// Derivatives by a label of the terms that it is a factor of ([`Self::acting`]).
    pub fn slopes<'a>(&'a self, label: usize, at: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let factor = move |&(k, power): &(usize, u8)| match k == label {
            true => f64::from(power) * at[k].powi(i32::from(power) - 1),
            false => at[k].powi(i32::from(power)),
        };
        self.acting[label].iter().map(move |&term| self.factors[term as usize].iter().map(factor).product())
    }
}

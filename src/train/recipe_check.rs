//! Whether a training recipe can be carried out: every key's range first, then what belongs to the effects.

use super::recipe::{Clean, DataRecipe, Learn, Recipe, Refine, Solve, Stage, StarUpdate};
use crate::error::{Error, Result};
use crate::learn::Schedule;
use crate::model::{ParameterSpace, Registry};
use crate::observations::Cut;
use crate::optimise::Minimiser;
use crate::text::first_repeated;

const REMEDY: &str = "`photosphere recipe xp --all-keys` prints all keys with values that are used.";

/// Most epochs, steps and iterations that a stage may ask for.
const MOST_ROUNDS: u32 = 1_000_000;

/// Steps of this length lead nowhere.
const LARGEST_RATE: f64 = 1e3;

fn check(place: impl Into<String>, found: impl ToString, is_allowed: bool, expected: &str) -> Result<()> {
    match is_allowed {
        true => Ok(()),
        false => Err(Error::usage(place).found(found.to_string()).expected(expected).remedy(REMEDY)),
    }
}

fn positive(place: String, value: f64) -> Result<()> {
    check(place, value, value > 0.0 && value.is_finite(), "a positive number")
}

fn not_negative(place: String, value: f64) -> Result<()> {
    check(place, value, value >= 0.0 && value.is_finite(), "zero or a positive number")
}

fn count(place: String, value: u32) -> Result<()> {
    check(place, value, (1..=MOST_ROUNDS).contains(&value), "1 to 1000000")
}

fn distinct(place: &str, names: &[String]) -> Result<()> {
    check(place, "an empty name", names.iter().all(|name| !name.trim().is_empty()), "names")?;
    match first_repeated(names.iter().map(String::as_str)) {
        Some(name) => check(place, format!("'{name}' twice"), false, "distinct names"),
        None => Ok(()),
    }
}

impl Recipe {
    /// Checks the value of every key.
    ///
    /// # Errors
    /// Names the key, its value and what it allows.
    pub(super) fn validate(&self) -> Result<()> {
        check_data(&self.data)?;
        not_negative("loss.robust_scale".into(), self.loss.robust_scale)?;
        let share = self.binaries.share;
        check("binaries.share", share, (0.0..=0.5).contains(&share), "a number in [0, 0.5]")?;
        self.prior.validate()?;
        for (name, &strength) in &self.penalties {
            not_negative(format!("penalties.{name}"), strength)?;
        }
        for (name, &sigma) in &self.priors {
            positive(format!("priors.{name}"), sigma)?;
            let twice = self.penalties.get(name).is_some_and(|strength| *strength > 0.0);
            check(format!("priors.{name}"), "the same name under [penalties]", !twice, "a prior or a penalty, not both")?;
        }
        check("effect", "none", !self.effects.is_empty(), "at least one [[effect]]")?;
        check("stage", "none", !self.stages.is_empty(), "at least one [[stage]]")?;
        for (position, stage) in self.stages.iter().enumerate() {
            check(format!("stage {}, name", position + 1), "an empty name", !stage.name().trim().is_empty(), "a name")?;
            let place = |key: &str| format!("stage '{}', {key}", stage.name());
            match stage {
                Stage::Learn(learn) => check_learn(learn, &place)?,
                Stage::Refine(Refine { stars, .. }) => stars.validate().map_err(|error| error.within(place("stars")))?,
                Stage::Solve(Solve { steps, damping, cuts, .. }) => {
                    count(place("steps"), *steps)?;
                    check(place("damping"), damping, *damping > 0.0 && *damping < 1.0, "a number in (0, 1)")?;
                    check_cuts(cuts, &place)?;
                }
                Stage::Clean(Clean { parameter_sigma, combined_sigma, flux_sigma, mean_square_flux, largest_share, .. }) => {
                    if let Some(limit) = mean_square_flux {
                        positive(place("mean_square_flux"), *limit)?;
                    }
                    let share = *largest_share;
                    check(place("largest_share"), share, share > 0.0 && share <= 1.0, "a number in (0, 1]")?;
                    // Infinity is allowed: no star is removed for that.
                    let limits =
                        [("parameter_sigma", parameter_sigma), ("combined_sigma", combined_sigma), ("flux_sigma", flux_sigma)];
                    for (key, limit) in limits {
                        check(place(key), limit, *limit > 0.0, "a positive number")?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks what the effects, which the registry knows, have to do with the other keys: parameters,
    /// penalties, weights that move.
    ///
    /// # Errors
    /// `Usage`: when an effect is unknown, misconfigured or there twice, or a key names what the effects do
    /// not have.
    pub fn validate_for(&self, registry: &Registry) -> Result<()> {
        let effects = registry.effects(&self.effects)?;
        let parameters: Vec<String> =
            effects.iter().flat_map(|effect| effect.parameters()).map(|parameter| parameter.name).collect();
        let penalties: Vec<&str> = effects.iter().flat_map(|effect| effect.penalty_names()).copied().collect();
        let known = |key: &str, name: &str| {
            let expected = format!("a parameter of the effects ({})", parameters.join(", "));
            check(key, format!("'{name}'"), parameters.iter().any(|known| known == name), &expected)
        };
        let constraints = self.constraints(registry)?;
        constraints.iter().try_for_each(|name| known("data.constraints", name))?;
        for name in self.optional(registry)? {
            let expected = format!("one of data.constraints ({})", constraints.join(", "));
            check("data.optional", format!("'{name}'"), constraints.contains(&name), &expected)?;
        }
        self.data.offsets.keys().try_for_each(|name| known("data.offsets", name))?;
        for name in self.data.error_factors.keys() {
            let expected = format!("one of data.constraints ({})", constraints.join(", "));
            check("data.error_factors", format!("'{name}'"), constraints.contains(name), &expected)?;
        }
        self.transforms.keys().try_for_each(|name| known("transforms", name))?;
        for stage in &self.stages {
            let Stage::Learn(learn) = stage else { continue };
            let key = |key: &str| format!("stage '{}', {key}", learn.name);
            let space = ParameterSpace::union(effects.iter().flat_map(|effect| effect.parameters()))?;
            space.named(&learn.star_parameters).iter().try_for_each(|name| known(&key("star_parameters"), name))?;
            let mut by_parameters = learn.weights.iter().filter(|weighting| !weighting.is_by_labels());
            by_parameters.try_for_each(|weighting| known(&key("weight"), &weighting.by))?;
        }
        // A strength of zero switches nothing on; the default names the penalty of an emulator, which a model
        // need not have.
        let switched_on = self.penalties.iter().filter(|(_, strength)| **strength > 0.0).map(|(name, _)| ("penalties", name));
        for (key, name) in switched_on.chain(self.priors.keys().map(|name| ("priors", name))) {
            let expected = format!("one of {}", penalties.join(", "));
            check(key, format!("'{name}'"), penalties.contains(&name.as_str()), &expected)?;
        }
        Ok(())
    }
}

fn check_data(data: &DataRecipe) -> Result<()> {
    distinct("data.constraints", &data.constraints)?;
    for (name, &offset) in &data.offsets {
        check(format!("data.offsets.{name}"), offset, offset.is_finite(), "a finite number")?;
    }
    for (name, &factor) in &data.error_factors {
        let (key, is_factor) = (format!("data.error_factors.{name}"), (0.01..=100.0).contains(&factor));
        check(key, factor, is_factor, "a factor from 0.01 to 100; what is farther off has another unit")?;
    }
    let fraction = data.validation_fraction;
    check("data.validation_fraction", fraction, fraction > 0.0 && fraction < 1.0, "a number between 0 and 1")?;
    let stopping = data.stopping_fraction;
    check("data.stopping_fraction", stopping, stopping > 0.0 && stopping < 1.0, "a number between 0 and 1")?;
    distinct("data.optional", &data.optional)?;
    check("data.fractional_error", data.fractional_error, (0.0..1.0).contains(&data.fractional_error), "a number in [0, 1)")?;
    check_cuts(&data.cuts, &|key| format!("data, {key}"))
}

fn check_cuts(cuts: &[Cut], place: &dyn Fn(&str) -> String) -> Result<()> {
    for Cut { quantity, minimum, maximum } in cuts {
        let key = place(&format!("cut on '{quantity}'"));
        check(key.clone(), "an empty quantity", !quantity.trim().is_empty(), "the name of a column")?;
        check(key.clone(), "neither minimum nor maximum", minimum.is_some() || maximum.is_some(), "at least one of them")?;
        let bounds = [minimum, maximum].into_iter().flatten();
        check(key.clone(), "a bound that is no number", bounds.into_iter().all(|bound| !bound.is_nan()), "numbers")?;
        let (low, high) = (minimum.unwrap_or(f64::NEG_INFINITY), maximum.unwrap_or(f64::INFINITY));
        check(key, format!("minimum {low} and maximum {high}"), low <= high, "a minimum that is not above the maximum")?;
    }
    Ok(())
}

fn check_learn(learn: &Learn, place: &dyn Fn(&str) -> String) -> Result<()> {
    count(place("epochs"), learn.epochs)?;
    check(place("batch"), learn.batch, learn.batch > 0, "at least 1")?;
    let moves_something = learn.learning_rate.is_some() || learn.stars.is_some();
    check(place("learning_rate"), "neither it nor stars", moves_something, "at least one of them: otherwise nothing moves")?;
    if let Some(value) = learn.largest_gradient {
        positive(place("largest_gradient"), value)?;
    }
    if let Some(rate) = learn.learning_rate {
        check(place("learning_rate"), rate, rate > 0.0 && rate <= LARGEST_RATE, "a positive number up to 1000")?;
    }
    not_negative(place("warm_up"), learn.warm_up)?;
    // Infinity is allowed: never return.
    check(place("largest_increase"), learn.largest_increase, learn.largest_increase > 0.0, "a positive number")?;
    if let Some(patience) = learn.patience {
        count(place("patience"), patience)?;
    }
    distinct(&place("moves"), &learn.moves)?;
    distinct(&place("star_parameters"), &learn.star_parameters)?;
    let has_stars = learn.star_parameters.is_empty() || learn.stars.is_some();
    check(place("star_parameters"), "no stars", has_stars, "it together with stars: otherwise none of them moves")?;
    check_weights(learn, place)?;
    match &learn.schedule {
        Schedule::Constant => {}
        Schedule::Steps { epochs, factor } => {
            check(place("schedule.factor"), factor, *factor > 0.0 && *factor <= 1.0, "a number in (0, 1]")?;
            let increases = epochs.windows(2).all(|pair| pair[0] < pair[1]);
            check(place("schedule.epochs"), format!("{epochs:?}"), increases, "increasing numbers")?;
        }
        Schedule::Cosine { end_fraction } => {
            check(place("schedule.end_fraction"), end_fraction, (0.0..=1.0).contains(end_fraction), "a number in [0, 1]")?;
        }
    }
    learn.optimiser.validate(&place("optimiser"))?;
    match learn.stars {
        None => {}
        Some(StarUpdate::LevenbergMarquardt { iterations } | StarUpdate::Profile { iterations }) => {
            count(place("stars.iterations"), iterations)?;
        }
        Some(StarUpdate::GradientStep { learning_rate }) => positive(place("stars.learning_rate"), learning_rate)?,
    }
    check_cuts(&learn.cuts, place)
}

fn check_weights(learn: &Learn, place: &dyn Fn(&str) -> String) -> Result<()> {
    let moves_weights = learn.weights.is_empty() || learn.learning_rate.is_some();
    check(place("weight"), "no learning_rate", moves_weights, "it together with learning_rate: it is of the weights' gradient")?;
    for weighting in &learn.weights {
        let key = |key: &str| place(&format!("weight by '{}', {key}", weighting.by));
        positive(key("largest"), weighting.largest)?;
        let is_range = |[low, high]: [f64; 2]| low < high && low.is_finite() && high.is_finite();
        let found = weighting.range.map_or("none".to_owned(), |range| format!("{range:?}"));
        match weighting.is_by_labels() {
            true => check(key("range"), found, weighting.range.is_none(), "none: the density of the labels has no range")?,
            false => check(key("range"), found, weighting.range.is_some_and(is_range), "the lowest and the highest value")?,
        }
    }
    let names: Vec<String> = learn.weights.iter().map(|weighting| weighting.by.clone()).collect();
    distinct(&place("weight"), &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "description = 'x'\n[[effect]]\nkind = 'emulator'\n[[stage]]\nkind = 'learn'\nname = 'a'\nepochs = 3\n";

    fn message(stage: &str, rest: &str) -> String {
        let recipe = Recipe::parse(&format!("{MINIMAL}{stage}\n{rest}"), "r.toml");
        let checked = recipe.and_then(|recipe| recipe.validate_for(&Registry::standard()));
        let error = checked.expect_err(&format!("{stage} {rest}"));
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn every_key_of_a_stage_has_a_range() {
        let of_stars = "stars = { method = 'levenberg_marquardt', iterations = 1 }";
        for (stage, key) in [
            ("", "learning_rate"),
            ("learning_rate = 1e-3\npatience = 0", "patience"),
            ("learning_rate = inf", "learning_rate"),
            ("learning_rate = 1e-3\nlargest_gradient = 0.0", "largest_gradient"),
            ("learning_rate = 1e-3\nmoves = ['a', 'a']", "moves"),
            ("learning_rate = 1e-3\nschedule = { shape = 'steps', epochs = [3, 2], factor = 0.5 }", "schedule.epochs"),
            ("learning_rate = 1e-3\noptimiser = { method = 'adam', beta_1 = 1.0 }", "optimiser.beta_1"),
            ("learning_rate = 1e-3\noptimiser = { method = 'adam_w', weight_decay = -1.0 }", "optimiser.weight_decay"),
            ("learning_rate = 1e-3\noptimiser = { method = 'sgd', momentum = nan }", "optimiser.momentum"),
            ("stars = { method = 'profile', iterations = 4000000000 }", "stars.iterations"),
            (&format!("{of_stars}\ncut = [{{ quantity = 'g' }}]"), "cut on 'g'"),
            ("learning_rate = 1e-3\nstar_parameters = ['teff']", "star_parameters"),
            (&format!("{of_stars}\nstar_parameters = ['age']"), "'age'"),
            (&format!("{of_stars}\nweight = [{{ by = 'label' }}]"), "weight"),
            ("learning_rate = 1e-3\nweight = [{ by = 'label', largest = 0.0 }]", "weight by 'label', largest"),
            ("learning_rate = 1e-3\nweight = [{ by = 'teff' }]", "weight by 'teff', range"),
            ("learning_rate = 1e-3\nweight = [{ by = 'label', range = [0.0, 1.0] }]", "weight by 'label', range"),
            ("learning_rate = 1e-3\nweight = [{ by = 'label' }, { by = 'label' }]", "'label' twice"),
            ("learning_rate = 1e-3\nweight = [{ by = 'age', range = [0.0, 1.0] }]", "'age'"),
            (&format!("{of_stars}\ncut = [{{ quantity = 'g', minimum = 3.0, maximum = 2.0 }}]"), "minimum 3 and maximum 2"),
            (&format!("{of_stars}\ncut = [{{ quantity = 'g', minimum = nan }}]"), "cut on 'g'"),
        ] {
            let message = message(stage, "");
            assert!(message.contains(key) && message.contains("stage 'a'"), "{key}: {message}");
        }
    }

    #[test]
    fn every_other_key_has_a_range_or_a_known_name() {
        for (rest, key) in [
            ("[data.offsets]\nparallax = inf", "data.offsets.parallax"),
            ("[data.error_factors]\nteff = 0.0", "data.error_factors.teff"),
            ("[data.error_factors]\nteff = 1e300", "found 1e300, expected a factor"),
            ("[data]\nconstraints = ['teff', 'teff']", "'teff' twice"),
            ("[data]\nconstraints = ['age']", "'age'"),
            ("[data]\nconstraints = ['teff']\n[transforms]\nextinction = 'identity'", "'extinction'"),
            ("[data]\nconstraints = ['teff']\n[penalties]\nkernle = 1.0", "'kernle'"),
            ("[data]\nconstraints = ['teff']\n[priors]\nkernle = 1.0", "'kernle'"),
            ("[data]\nconstraints = ['teff']\n[priors]\nkernel = 1.0", "not both"),
            ("[data]\nconstraints = ['teff']\noptional = ['feh']", "data.optional"),
            ("[data]\nstopping_fraction = 1.0", "data.stopping_fraction"),
            ("[loss]\nrobust_scale = nan", "loss.robust_scale"),
            ("[prior]\nn_components = 100000000", "n_components"),
            ("[prior]\ntolerance = inf", "tolerance"),
            ("[prior]\nthreshold_samples = 100000000000", "threshold_samples"),
            ("[[effect]]\nkind = 'emulator'", "'emulator': found it twice"),
            ("[[effect]]\nkind = 'emulater'", "'emulater'"),
            ("[[effect]]\nhidden = [3]", "no kind"),
        ] {
            let message = message("learning_rate = 1e-3", rest);
            assert!(message.contains(key), "{key}: {message}");
        }
    }
}

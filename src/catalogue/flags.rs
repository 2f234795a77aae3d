//! Bits of `quality_flags`: what those of every catalogue have in common, whatever made it, and how a method
//! says what its own mean.

/// Quality flags below this are the basic cut.
pub const BASIC_CUT: i32 = 8;
/// Bit 6: the method did not come to an end.
pub const NOT_CONVERGED: i32 = 1 << 6;
/// Bit 11: there is no estimate.
pub const NOT_FITTED: i32 = 1 << 11;

/// A bit of `quality_flags`. A method has one table of them, which its catalogues and messages take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// The bit's value, a power of two.
    pub value: i32,
    /// Lower snake case.
    pub name: &'static str,
    /// When it is set, with the threshold.
    pub text: &'static str,
}

impl Flag {
    pub const fn new(value: i32, name: &'static str, text: &'static str) -> Self {
        Self { value, name, text }
    }

    /// The position of the bit.
    pub const fn bit(&self) -> u32 {
        self.value.trailing_zeros()
    }
}

/// What a table of flags says, for the description of a column: position, name and meaning of every bit.
pub fn description(flags: &[Flag]) -> String {
    let entries: Vec<String> = flags.iter().map(|flag| format!("{} {}: {}", flag.bit(), flag.name, flag.text)).collect();
    format!("bit {}. Below {BASIC_CUT}: the basic cut", entries.join("; "))
}

/// The flags of a table that are set.
pub fn set(flags: &[Flag], bits: i32) -> impl Iterator<Item = &Flag> {
    flags.iter().filter(move |flag| bits & flag.value != 0)
}

/// Names and meanings of the bits that are set, as the description of a column of flags tells them
/// ([`description`]), whatever made it.
pub fn meanings(description: &str, bits: i32) -> Vec<(String, String)> {
    let of_bits = description.strip_prefix("bit ").and_then(|text| text.rsplit_once(". Below")).map_or("", |(text, _)| text);
    let each = of_bits.split("; ").filter_map(|entry| {
        let (bit, named) = entry.split_once(' ')?;
        let (name, meaning) = named.split_once(": ")?;
        let is_set = 1_i32.checked_shl(bit.parse().ok()?).is_some_and(|value| bits & value != 0);
        is_set.then(|| (name.to_owned(), meaning.to_owned()))
    });
    each.collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// That a table has every bit once, in rising order, and that a page has a row for each: `row` makes its
    /// beginning.
    pub fn check(flags: &[Flag], page: &str, row: impl Fn(&Flag) -> String) {
        assert!(flags.windows(2).all(|pair| pair[0].value < pair[1].value), "in order, and once");
        assert!(flags.iter().all(|flag| flag.value.count_ones() == 1 && !flag.text.contains("; ")));
        assert_eq!(flags.iter().map(|flag| flag.name).collect::<BTreeSet<_>>().len(), flags.len(), "names");
        for flag in flags {
            assert!(page.contains(&row(flag)), "no row '{}' in the documentation", row(flag));
        }
    }

    #[test]
    fn a_table_in_words() {
        let flags = [Flag::new(1, "no_parallax", "no parallax"), Flag::new(NOT_FITTED, "not_fitted", "too few fluxes")];
        assert_eq!(description(&flags), "bit 0 no_parallax: no parallax; 11 not_fitted: too few fluxes. Below 8: the basic cut");
        assert_eq!(set(&flags, NOT_FITTED | 2).map(|flag| flag.name).collect::<Vec<_>>(), ["not_fitted"]);
        let found = meanings(&description(&flags), NOT_FITTED | 2);
        assert_eq!(found, [("not_fitted".to_owned(), "too few fluxes".to_owned())]);
        assert!(meanings("the flags of somebody else", 7).is_empty());
    }
}

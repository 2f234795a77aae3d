//! Which table of a document is read: the first with rows, or the one that is named in brackets
//! (`stars.xml[labels]`, `stars.xml[2]`).

use crate::error::{Error, Result};
use crate::table::Location;
use crate::warning::warn_once;

/// Tables that are named in messages.
const MOST_NAMED: usize = 12;

/// A TABLE element that has been seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// From 1, in the order of the document.
    pub number: usize,
    pub name: String,
    pub id: String,
}

/// What is wanted, and what has been seen so far.
#[derive(Debug)]
pub(super) struct Choice {
    file: String,
    wanted: Option<String>,
    /// The number of the table that is read where none is named: the first with rows, or else with data.
    preferred: Option<usize>,
    n_tables: usize,
    n_with_data: usize,
    /// Those with data, as far as messages name them.
    with_data: Vec<Seen>,
    chosen: Option<Seen>,
}

impl Choice {
    /// # Errors
    /// When several tables are to be joined.
    pub fn new(location: &Location) -> Result<Self> {
        let file = location.file.display().to_string();
        if location.tables.len() > 1 {
            return Err(Error::usage(format!("{file}[{}]", location.tables.join("+")))
                .found("tables of a VOTable to be joined by rows")
                .expected("one of them")
                .remedy("Name one table, or write the joined table to one file."));
        }
        let wanted = location.tables.first().cloned();
        Ok(Self { file, wanted, preferred: None, n_tables: 0, n_with_data: 0, with_data: Vec::new(), chosen: None })
    }

    /// Where none is named, the table of this number is read.
    pub fn prefer(&mut self, number: usize) {
        self.preferred = Some(number);
    }

    /// Gives up the chosen table for the next one, and says its number.
    pub fn release(&mut self) -> Option<usize> {
        self.chosen.take().map(|table| table.number)
    }

    /// Counts a TABLE element.
    pub fn see(&mut self, name: String, id: String) -> Seen {
        self.n_tables += 1;
        Seen { number: self.n_tables, name, id }
    }

    /// Takes note of the data of a table, and says whether they are to be read.
    pub fn is_wanted(&mut self, table: &Seen) -> bool {
        self.n_with_data += 1;
        if self.with_data.len() < MOST_NAMED {
            self.with_data.push(table.clone());
        }
        let is_named = match &self.wanted {
            Some(wanted) => table.answers_to(wanted),
            None => self.preferred.is_none_or(|number| table.number == number),
        };
        let is_wanted = self.chosen.is_none() && is_named;
        if is_wanted {
            self.chosen = Some(table.clone());
        }
        is_wanted
    }

    /// Warns of the other tables, once the document has been passed.
    ///
    /// # Errors
    /// When no table was chosen: names those that there are.
    pub fn finish(&self) -> Result<()> {
        let Some(chosen) = &self.chosen else { return Err(self.none()) };
        let others: Vec<&Seen> = self.with_data.iter().filter(|table| table.number != chosen.number).collect();
        let Some(other) = others.first() else { return Ok(()) };
        let file = &self.file;
        match &self.wanted {
            None => warn_once(format!(
                "{file}: {} tables with data: {} is read, not {}. Name one in brackets: {file}[{}].",
                self.n_with_data,
                chosen.described(),
                self.listed(&others),
                other.number
            )),
            Some(wanted) => {
                let Some(twin) = others.iter().find(|table| table.answers_to(wanted)) else { return Ok(()) };
                warn_once(format!(
                    "{file}: several tables are named '{wanted}': {} is read, not {}. Choose by number: {file}[{}].",
                    chosen.described(),
                    twin.described(),
                    twin.number
                ));
            }
        }
        Ok(())
    }

    fn none(&self) -> Error {
        let place = |brackets: String| Error::data(format!("{}{brackets}", self.file));
        let Some(wanted) = self.wanted.as_deref() else {
            return place(String::new())
                .found(format!("no table with data ({} TABLE elements)", self.n_tables))
                .expected("a VOTable with a table")
                .remedy("Check the answer of the service that the file comes from.");
        };
        let all: Vec<&Seen> = self.with_data.iter().collect();
        let found = match all.is_empty() {
            true => "no table with data".to_owned(),
            false => format!("no such table with data (there are: {})", self.listed(&all)),
        };
        place(format!("[{wanted}]"))
            .found(found)
            .expected("the name, the ID or the number of a TABLE")
            .remedy("Name one of the tables that there are.")
    }

    fn listed(&self, tables: &[&Seen]) -> String {
        let named: Vec<String> = tables.iter().map(|table| table.described()).collect();
        let more = self.n_with_data.saturating_sub(self.with_data.len());
        if more == 0 { named.join(", ") } else { format!("{} and {more} more", named.join(", ")) }
    }
}

impl Seen {
    /// Whether a name in brackets means this table: its number, or its name or ID in any case.
    fn answers_to(&self, wanted: &str) -> bool {
        let is = |own: &str| !own.is_empty() && own.to_lowercase() == wanted.to_lowercase();
        wanted.parse() == Ok(self.number) || is(&self.name) || is(&self.id)
    }

    fn described(&self) -> String {
        match [&self.name, &self.id].into_iter().find(|name| !name.is_empty()) {
            Some(name) => format!("{} ('{name}')", self.number),
            None => format!("{} (without a name)", self.number),
        }
    }
}

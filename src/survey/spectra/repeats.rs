//! Exposures of one star in several files (`join_files`): how many are to follow, and which stars wait for
//! another pass over their files, so that no more stars are open than memory is meant for.
//!
//! A first pass counts the spectra of every identifier. In the next one stars with one spectrum are done at
//! once; of the others as many are open as is allowed, and those that come while these are open are put off
//! to a pass over the files that have them. The result of a star does not depend on that.

use super::identifiers::{Identifiers, file_key};
use super::observed::{ReadOptions, Spectra, read_spectra};
use crate::error::Result;
use crate::survey::source::Stars;
use crate::table::file_of;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

/// Files of one spectrum each that are opened at once.
const BATCH: usize = 64;

/// The stars of several files.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Spectra that are to come of stars that have several.
    left: HashMap<i64, usize>,
    /// Files of this pass that are not yet open.
    queue: VecDeque<PathBuf>,
    /// Stars of this pass of which spectra are to come.
    begun: HashSet<i64>,
    /// Stars that are put off, and the files that have them.
    put_off: HashSet<i64>,
    files_of_next: Vec<PathBuf>,
    /// Number of the pass; none before files were counted.
    pass: Option<usize>,
}

/// What becomes of a spectrum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is taken, and so many of its star follow.
    Now(usize),
    /// It is put off, or was taken in an earlier pass.
    NotNow,
}

impl Repeats {
    /// Counts the spectra of all files that there are, where this has not been done. What cannot be read is
    /// not counted: whoever takes the spectra says so.
    pub fn begin(
        &mut self,
        files: &mut dyn FnMut() -> Option<PathBuf>,
        stars: &dyn Stars,
        (identifiers, options): (&Identifiers, &ReadOptions),
    ) {
        if self.pass.is_some() {
            return;
        }
        self.pass = Some(0);
        let plain = ReadOptions { carry: Vec::new(), line_spread: false, ..options.clone() };
        while let Some(first) = files() {
            let opened = read_spectra(&first, &plain);
            let is_single = matches!(&opened, Ok(spectra) if spectra.layout.is_single());
            let more: Vec<PathBuf> =
                if is_single { std::iter::from_fn(&mut *files).take(BATCH - 1).collect() } else { Vec::new() };
            let mut found = vec![own_identifiers(opened)];
            found.par_extend(more.par_iter().map(|file| own_identifiers(read_spectra(file, &plain))));
            for (file, own) in std::iter::once(first).chain(more).zip(found) {
                let key = file_key(&file_of(&file));
                let ids = own.into_iter().filter_map(|own| identifiers.of(&key, own));
                ids.filter(|id| stars.wants(*id)).for_each(|id| *self.left.entry(id).or_default() += 1);
                self.queue.push_back(file);
            }
        }
        self.left.retain(|_, n| *n > 1);
        self.left.shrink_to_fit();
    }

    /// Whether files are read for the first time.
    pub fn is_first_pass(&self) -> bool {
        self.pass.is_none_or(|pass| pass == 0)
    }

    /// The next file of the pass.
    pub fn next_file(&mut self) -> Option<PathBuf> {
        self.queue.pop_front()
    }

    /// Whether a spectrum of a star in a file is taken now, where no more than `most` stars may be open.
    pub fn turn(&mut self, id: i64, file: &Path, most: usize) -> Turn {
        let is_first_pass = self.is_first_pass();
        let Some(left) = self.left.get_mut(&id) else {
            return if is_first_pass { Turn::Now(0) } else { Turn::NotNow };
        };
        let is_put_off = self.put_off.contains(&id) || !self.begun.contains(&id) && self.begun.len() >= most;
        if is_put_off {
            self.put_off.insert(id);
            if self.files_of_next.last().is_none_or(|last| last != file) {
                self.files_of_next.push(file.to_owned());
            }
            return Turn::NotNow;
        }
        self.begun.insert(id);
        *left -= 1;
        let left = *left;
        if left == 0 {
            self.left.remove(&id);
            self.begun.remove(&id);
        }
        Turn::Now(left)
    }

    /// Ends a pass: stars that are still open have no more spectra. Begins the next one where stars were put
    /// off; returns whether there is one.
    pub fn end_pass(&mut self) -> bool {
        for id in self.begun.drain() {
            self.left.remove(&id);
        }
        if self.put_off.is_empty() {
            *self = Self::default();
            return false;
        }
        self.put_off.clear();
        self.queue = std::mem::take(&mut self.files_of_next).into();
        self.pass = self.pass.map(|pass| pass + 1);
        true
    }
}

/// The identifiers of a file by itself, as far as it can be read.
fn own_identifiers(spectra: Result<Spectra>) -> Vec<Option<i64>> {
    match spectra {
        Ok(Spectra { ids: Some(ids), .. }) => ids.into_iter().map(Some).collect(),
        Ok(spectra) => spectra.filter_map(|spectrum| spectrum.ok().map(|spectrum| spectrum.id)).collect(),
        Err(_) => Vec::new(),
    }
}

//! A safe face for the few cfitsio calls that binary tables need. `fitsio`'s own table interface cannot be used: it panics on columns
//! of varying length, and its `Long` truncates 64-bit integers.
//!
//! # Safety
//! All `unsafe` code of the room is in this file, and rests on:
//! * a [`FitsFile`] owns its `fitsfile` pointer, which is valid from a successful open to [`Drop`];
//! * cfitsio is built with `--enable-reentrant`, where files that are open separately may be used from different threads; a `FitsFile`
//!   is not `Sync`, so each is used by one thread at a time; opening and closing hold a lock of our own;
//! * every buffer handed over is as long as the element count handed over with it; cfitsio copies out of buffers that it writes to a
//!   file, and reads from files in memory that it opened read-only without changing them;
//! * text handed over ends with NUL, and text handed back has room for cfitsio's documented maximum.

use fitsio_sys as sys;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

static OPENING: Mutex<()> = Mutex::new(());

/// cfitsio's status code and its text.
#[derive(Debug, thiserror::Error)]
#[error("{text}, cfitsio status {code}")]
pub(super) struct Status {
    code: c_int,
    text: String,
}

type Result<T> = std::result::Result<T, Status>;

impl Status {
    fn other(text: &str) -> Self {
        Self { code: 0, text: text.into() }
    }
}

/// Type, count and width of a column, as cfitsio reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawType {
    /// cfitsio's type code after TSCAL and TZERO; of the elements, for lists of varying length too.
    pub code: u32,
    /// Whether rows hold descriptors of lists in the heap.
    pub is_variable: bool,
    /// Elements a row (characters for text).
    pub repeat: usize,
    /// Characters of one text (otherwise bytes of an element).
    pub width: usize,
}

/// A value that cfitsio converts columns to and from.
pub(super) trait Element: Copy {
    /// cfitsio's type code.
    const CODE: c_int;
    /// What a buffer starts with.
    const ZERO: Self;
}

macro_rules! element {
    ($type:ty, $code:expr, $zero:expr) => {
        impl Element for $type {
            const CODE: c_int = $code as c_int;
            const ZERO: Self = $zero;
        }
    };
}
element!(i32, sys::TINT, 0);
element!(i64, sys::TLONGLONG, 0);
element!(f32, sys::TFLOAT, 0.0);
element!(f64, sys::TDOUBLE, 0.0);

/// A boolean as cfitsio stores it.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(super) struct Logical(c_char);
element!(Logical, sys::TLOGICAL, Logical(0));

impl From<bool> for Logical {
    fn from(value: bool) -> Self {
        Self(value.into())
    }
}

impl From<Logical> for bool {
    fn from(value: Logical) -> Self {
        value.0 != 0
    }
}

/// The content of a file in memory, at an address that cfitsio may keep.
struct Memory {
    start: *mut c_void,
    length: usize,
    _bytes: Vec<u8>,
}

/// An open FITS file, positioned at one of its tables.
pub(super) struct FitsFile {
    pointer: *mut sys::fitsfile,
    /// Dropped after the pointer is closed.
    _memory: Option<Box<Memory>>,
}

// SAFETY: see the module's documentation; nothing in cfitsio's file structure is bound to the thread that opened it.
unsafe impl Send for FitsFile {}

impl FitsFile {
    /// Opens a file for reading. Its name is taken literally.
    pub fn open(path: &Path) -> Result<Self> {
        let path = c_path(path)?;
        let mut pointer = std::ptr::null_mut();
        let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: `pointer` and `status` outlive the call, `path` ends with NUL.
        check(|status| unsafe { sys::ffdkopn(&mut pointer, path.as_ptr(), sys::READONLY as c_int, status) })?;
        Ok(Self { pointer, _memory: None })
    }

    /// Opens the content of a file for reading.
    pub fn from_bytes(mut bytes: Vec<u8>) -> Result<Self> {
        let mut memory = Box::new(Memory { start: bytes.as_mut_ptr().cast(), length: bytes.len(), _bytes: bytes });
        let mut pointer = std::ptr::null_mut();
        let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: start and length describe the bytes, which live in `memory` for as long as the file is open; without a
        // reallocation function, and read-only, cfitsio neither moves nor changes them.
        check(|status| unsafe {
            let mode = sys::READONLY as c_int;
            sys::ffomem(&mut pointer, c"memory".as_ptr(), mode, &mut memory.start, &mut memory.length, 0, None, status)
        })?;
        Ok(Self { pointer, _memory: Some(memory) })
    }

    /// Creates a file with an empty primary array and a table without rows. No file of that name may exist.
    pub fn create_table(path: &Path, names: &[String], forms: &[String], units: &[String]) -> Result<Self> {
        let path = c_path(path)?;
        let texts = |list: &[String]| list.iter().map(|text| c_text(text)).collect::<Result<Vec<CString>>>();
        let (names, forms, units) = (texts(names)?, texts(forms)?, texts(units)?);
        let pointers = |list: &[CString]| -> Vec<*mut c_char> { list.iter().map(|text| text.as_ptr().cast_mut()).collect() };
        let (mut names, mut forms, mut units) = (pointers(&names), pointers(&forms), pointers(&units));
        let n_columns = c_int::try_from(names.len()).map_err(|_| Status::other("too many columns"))?;
        let mut file = Self { pointer: std::ptr::null_mut(), _memory: None };
        {
            let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: as in `open`.
            check(|status| unsafe { sys::ffdkinit(&mut file.pointer, path.as_ptr(), status) })?;
        }
        // SAFETY: three arrays of `n_columns` pointers to text that outlives the call; cfitsio does not change the text.
        check(|status| unsafe {
            let kind = sys::BINARY_TBL as c_int;
            let (names, forms, units) = (names.as_mut_ptr(), forms.as_mut_ptr(), units.as_mut_ptr());
            sys::ffcrtb(file.pointer, kind, 0, n_columns, names, forms, units, std::ptr::null(), status)
        })?;
        Ok(file)
    }

    /// Moves to the first binary table; false when the file has none.
    pub fn move_to_first_table(&mut self) -> Result<bool> {
        let mut n_units = 0;
        // SAFETY: the pointer is valid, the results outlive the calls.
        check(|status| unsafe { sys::ffthdu(self.pointer, &mut n_units, status) })?;
        for unit in 2..=n_units {
            let mut kind = 0;
            check(|status| unsafe { sys::ffmahd(self.pointer, unit, &mut kind, status) })?;
            if kind == sys::BINARY_TBL as c_int {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The header of the present unit, one text of 80 characters a card.
    pub fn cards(&mut self) -> Result<Vec<String>> {
        let (mut n_cards, mut room) = (0, 0);
        // SAFETY: the pointer is valid, the results outlive the call.
        check(|status| unsafe { sys::ffghsp(self.pointer, &mut n_cards, &mut room, status) })?;
        let mut card: [c_char; 256] = [0; 256];
        (1..=n_cards)
            .map(|number| {
                // SAFETY: a card has 80 characters and a NUL, less than the buffer.
                check(|status| unsafe { sys::ffgrec(self.pointer, number, card.as_mut_ptr(), status) })?;
                // SAFETY: cfitsio ended the text with NUL, within the buffer.
                Ok(unsafe { CStr::from_ptr(card.as_ptr()) }.to_string_lossy().into_owned())
            })
            .collect()
    }

    /// Appends cards to the header.
    pub fn append_cards(&mut self, cards: &[String]) -> Result<()> {
        cards.iter().try_for_each(|card| {
            let card = c_text(card)?;
            // SAFETY: the pointer is valid, `card` ends with NUL.
            check(|status| unsafe { sys::ffprec(self.pointer, card.as_ptr(), status) })
        })
    }

    /// Byte at which the data of the present unit start.
    pub fn data_start(&mut self) -> Result<u64> {
        let (mut header, mut start, mut end) = (0, 0, 0);
        // SAFETY: the pointer is valid, the results outlive the call.
        check(|status| unsafe { sys::ffghadll(self.pointer, &mut header, &mut start, &mut end, status) })?;
        u64::try_from(start).map_err(|_| Status::other("a negative file position"))
    }

    /// Type of column `column` (from 1).
    pub fn raw_type(&mut self, column: usize) -> Result<RawType> {
        let (mut code, mut repeat, mut width) = (0, 0, 0);
        // SAFETY: the pointer is valid, the results outlive the call.
        check(|status| unsafe { sys::ffeqtyll(self.pointer, column as c_int, &mut code, &mut repeat, &mut width, status) })?;
        let count = |value: i64| usize::try_from(value).map_err(|_| Status::other("a negative count"));
        Ok(RawType { code: code.unsigned_abs(), is_variable: code < 0, repeat: count(repeat)?, width: count(width)? })
    }

    /// How many rows to read or write at once, so that all columns of them fit cfitsio's buffers.
    pub fn rows_per_block(&mut self) -> Result<usize> {
        let mut rows = 0;
        // SAFETY: the pointer is valid, the result outlives the call.
        check(|status| unsafe { sys::ffgrsz(self.pointer, &mut rows, status) })?;
        Ok(usize::try_from(rows).unwrap_or(1).max(1))
    }

    /// Lengths of the lists of varying length in `rows` rows from `row` (from 0).
    pub fn list_lengths(&mut self, column: usize, row: usize, rows: usize) -> Result<Vec<i64>> {
        let (mut lengths, mut addresses) = (vec![0; rows], vec![0; rows]);
        if rows > 0 {
            // SAFETY: both buffers hold `rows` numbers.
            check(|status| unsafe {
                let (lengths, addresses) = (lengths.as_mut_ptr(), addresses.as_mut_ptr());
                sys::ffgdessll(self.pointer, column as c_int, row as i64 + 1, rows as i64, lengths, addresses, status)
            })?;
        }
        Ok(lengths)
    }

    /// Reads `count` elements of `column` from the start of row `row` (from 0) on, and which of them are null.
    pub fn read<T: Element>(&mut self, column: usize, row: usize, count: usize) -> Result<(Vec<T>, Vec<bool>)> {
        let mut values = vec![T::ZERO; count];
        let mut nulls: Vec<c_char> = vec![0; count];
        let mut any_null = 0;
        if count > 0 {
            // SAFETY: both buffers hold `count` elements, of the type that the code names.
            check(|status| unsafe {
                let (values, nulls) = (values.as_mut_ptr().cast(), nulls.as_mut_ptr());
                let (column, row, count) = (column as c_int, row as i64 + 1, count as i64);
                sys::ffgcf(self.pointer, T::CODE, column, row, 1, count, values, nulls, &mut any_null, status)
            })?;
        }
        Ok((values, nulls.into_iter().map(|null| null != 0).collect()))
    }

    /// Reads `count` texts of at most `width` bytes from the start of row `row` (from 0) on.
    pub fn read_text(&mut self, column: usize, row: usize, count: usize, width: usize) -> Result<Vec<String>> {
        let stride = width + 1;
        let mut bytes: Vec<c_char> = vec![0; count * stride];
        let mut pointers: Vec<*mut c_char> = bytes.chunks_exact_mut(stride).map(|text| text.as_mut_ptr()).collect();
        let mut any_null = 0;
        if count > 0 {
            let mut null = [0; 2];
            // SAFETY: `count` pointers to `width` characters and a NUL each; an empty text stands for null.
            check(|status| unsafe {
                let (column, row, count) = (column as c_int, row as i64 + 1, count as i64);
                let (null, pointers) = (null.as_mut_ptr(), pointers.as_mut_ptr());
                sys::ffgcvs(self.pointer, column, row, 1, count, null, pointers, &mut any_null, status)
            })?;
        }
        let text = |text: &[c_char]| {
            let text: Vec<u8> = text.iter().map(|&character| character as u8).take_while(|&byte| byte != 0).collect();
            String::from_utf8_lossy(&text).trim_end_matches(' ').to_owned()
        };
        Ok(bytes.chunks_exact(stride).map(text).collect())
    }

    /// Appends `count` rows of zeros after `n_rows` rows.
    pub fn append_rows(&mut self, n_rows: usize, count: usize) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        // SAFETY: the pointer is valid.
        check(|status| unsafe { sys::ffirow(self.pointer, n_rows as i64, count as i64, status) })
    }

    /// Writes elements into `column` from element `element` (from 0) of row `row` (from 0) on.
    pub fn write<T: Element>(&mut self, column: usize, row: usize, values: &[T]) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        // SAFETY: `values` holds as many elements as named, of the type that the code names; cfitsio does not change them.
        check(|status| unsafe {
            let (column, row, count) = (column as c_int, row as i64 + 1, values.len() as i64);
            sys::ffpcl(self.pointer, T::CODE, column, row, 1, count, values.as_ptr().cast_mut().cast(), status)
        })
    }

    /// Writes texts into `column` from the start of row `row` (from 0) on.
    pub fn write_text(&mut self, column: usize, row: usize, texts: &[String]) -> Result<()> {
        if texts.is_empty() {
            return Ok(());
        }
        let texts = texts.iter().map(|text| c_text(text)).collect::<Result<Vec<_>>>()?;
        let mut pointers: Vec<*mut c_char> = texts.iter().map(|text| text.as_ptr().cast_mut()).collect();
        // SAFETY: as many pointers as named to text that ends with NUL; cfitsio does not change it.
        check(|status| unsafe {
            let (column, row, count) = (column as c_int, row as i64 + 1, pointers.len() as i64);
            sys::ffpcls(self.pointer, column, row, 1, count, pointers.as_mut_ptr(), status)
        })
    }

    /// Marks `count` elements of `column`, from the start of row `row` (from 0) on, as null.
    pub fn write_null(&mut self, column: usize, row: usize, count: usize) -> Result<()> {
        // SAFETY: the pointer is valid.
        check(|status| unsafe { sys::ffpclu(self.pointer, column as c_int, row as i64 + 1, 1, count as i64, status) })
    }

    /// Widens a text column to `width` characters.
    pub fn widen(&mut self, column: usize, width: usize) -> Result<()> {
        // SAFETY: the pointer is valid.
        check(|status| unsafe { sys::ffmvec(self.pointer, column as c_int, width as i64, status) })
    }

    /// Writes what is buffered and closes the file.
    pub fn close(mut self) -> Result<()> {
        self.close_pointer()
    }

    fn close_pointer(&mut self) -> Result<()> {
        let pointer = std::mem::replace(&mut self.pointer, std::ptr::null_mut());
        if pointer.is_null() {
            return Ok(());
        }
        let _guard = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the pointer was valid and is not used again.
        check(|status| unsafe { sys::ffclos(pointer, status) })
    }
}

impl Drop for FitsFile {
    fn drop(&mut self) {
        if let Err(status) = self.close_pointer() {
            tracing::debug!("closing a FITS file: {status}");
        }
    }
}

/// Runs one call and turns its status into a result, leaving cfitsio's message stack empty.
fn check(call: impl FnOnce(&mut c_int) -> c_int) -> Result<()> {
    let mut code = 0;
    call(&mut code);
    if code == 0 {
        return Ok(());
    }
    let mut text: [c_char; 256] = [0; 256];
    // SAFETY: the text has at most 30 characters and a NUL.
    let text = unsafe {
        sys::ffgerr(code, text.as_mut_ptr());
        sys::ffcmsg();
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    };
    Err(Status { code, text })
}

fn c_text(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Status::other("text with a NUL character, which FITS cannot hold"))
}

fn c_path(path: &Path) -> Result<CString> {
    // cfitsio's FLEN_FILENAME.
    let path = path.to_str().filter(|path| path.len() < 1000).ok_or_else(|| Status::other("a path that cfitsio cannot take"))?;
    c_text(path)
}

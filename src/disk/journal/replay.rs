//! Reading: one file, and what all files of a directory come to. Nothing here writes.
//!
//! 1. The newest file with a whole checkpoint counts, no other: a checkpoint holds everything that older files say.
//! 2. A file without one was being made when the process ended, unless something in it says that more had been synced: then it is damaged.
//! 3. A bad record ends a file. It is a torn tail unless a later record says that it had been synced: then it is damage.
//! 4. Damage anywhere in a file that could count is never passed over for an older file: acknowledged entries would be missing.

use super::error::OpenError;
use super::live::{Live, LivePurge, Marks};
use super::record::{Frame, HEADER, Header, HeaderFault, MAJOR, MAX_NUMBER, kind};
use super::writer::file_name;
use crate::disk::{File, Media};

/// A file that counts, replayed.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) header: Header,
    pub(super) live: Live,
    /// Position of the last good record.
    pub(super) position: u64,
    /// The last number given out, if the journal was closed.
    pub(super) closed: Option<u64>,
    /// Records, those of the checkpoint included.
    pub(super) records: u64,
    /// Offset behind the last good record.
    pub(super) end: usize,
    /// Whether something that is no record stands there.
    pub(super) torn: bool,
}

/// What one file is.
#[derive(Debug)]
pub(super) enum Reading {
    Whole(Box<Contents>),
    /// Its making was not finished. Its header, if that is there.
    HalfMade(Option<Header>),
    /// Not to be trusted, and why.
    Damaged {
        reason: String,
        max_segment: u32,
    },
}

impl Reading {
    /// Reads the bytes of file `id`. Total: any bytes are one of the three.
    pub(super) fn of(bytes: &[u8], id: u64) -> Self {
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(HeaderFault::Major { major, sound: true }) => {
                return Self::damaged(format!("version {major} is unknown, {MAJOR} was expected"));
            }
            // The header is synced before anything else is written.
            Err(_) if bytes.get(HEADER..).is_none_or(is_zero) => return Self::HalfMade(None),
            Err(HeaderFault::Major { major, .. }) => {
                return Self::damaged(format!("version {major} is unknown, or the header is damaged"));
            }
            Err(HeaderFault::Unreadable) => return Self::damaged("the header is damaged".into()),
        };
        if header.id != id {
            return Self::damaged(format!("the header is that of {}", file_name(header.id)));
        }
        Replay { bytes, header, live: Live::new(), at: 0, records: 0 }.run()
    }

    fn damaged(reason: String) -> Self {
        Self::Damaged { reason, max_segment: 0 }
    }
}

struct Replay<'a> {
    bytes: &'a [u8],
    header: Header,
    live: Live,
    at: usize,
    records: u64,
}

impl<'a> Replay<'a> {
    fn run(mut self) -> Reading {
        self.at = usize::try_from(self.header.begin).unwrap_or(usize::MAX);
        let position = self.header.position;
        if position > u64::MAX / 2 {
            return self.damaged("positions have run out");
        }
        loop {
            let Some(frame) = self.next().filter(|frame| frame.position == position && frame.synced_upto == 0) else {
                if self.is_witnessed(position) {
                    return self.damaged("the checkpoint is damaged");
                }
                return Reading::HalfMade(Some(self.header));
            };
            self.records += 1;
            if frame.kind == kind::END {
                // The state and the end are two.
                if self.records < 2 || frame.payload != self.records.to_le_bytes() {
                    return self.damaged("the checkpoint lacks records");
                }
                self.at = frame.next;
                break;
            }
            // Of the state there is one, and nothing stands before it.
            if (frame.kind == kind::STATE) != (self.records == 1) || !self.live.replay(&frame) {
                return self.damaged("a record of the checkpoint is not known");
            }
            self.at = frame.next;
        }
        if u64::try_from(self.bytes.len()).is_ok_and(|len| len < self.header.len) {
            return self.damaged("the file is cut short");
        }
        self.tail()
    }

    fn tail(mut self) -> Reading {
        let mut position = self.header.position;
        let mut closed = None;
        loop {
            // Far from the end: one for each record of a file at most, and the first is checked.
            let expected = position.saturating_add(1);
            let Some(frame) = self.next().filter(|frame| frame.position == expected) else {
                if self.is_witnessed(expected) {
                    return self.damaged("a record that had been synced is damaged");
                }
                break;
            };
            if frame.kind == kind::STATE || !self.live.replay(&frame) {
                return self.damaged("a record is not known");
            }
            closed = (frame.kind == kind::CLOSED).then_some(frame.payload).and_then(|last| {
                let last = last.first_chunk()?;
                Some(u64::from_le_bytes(*last))
            });
            self.records += 1;
            self.at = frame.next;
            position = expected;
        }
        let torn = self.bytes.get(self.at..).is_some_and(|rest| !is_zero(rest));
        if self.live.max_seq.max(self.live.reserved_upto) > MAX_NUMBER {
            return self.damaged("numbers have run out");
        }
        // Out of order, one that is swept may stand behind one that is not.
        let swept = self.live.swept_upto;
        self.live.purges.retain(|purge| purge.last > swept);
        let Self { header, live, at, records, .. } = self;
        // A torn tail may be entries after the close.
        let closed = closed.filter(|_| !torn);
        Reading::Whole(Box::new(Contents { header, live, position, closed, records, end: at, torn }))
    }

    fn next(&self) -> Option<Frame<'a>> {
        Frame::at(self.bytes, self.at, self.header.salt)
    }

    fn is_witnessed(&self, position: u64) -> bool {
        Frame::witness(self.bytes, self.at, self.header.salt, position)
    }

    fn damaged(&self, what: &str) -> Reading {
        let reason = format!("{what}, at byte {}", self.at);
        Reading::Damaged { reason, max_segment: self.live.max_segment }
    }
}

/// What a directory comes to.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Numbers of all journal files, falling.
    pub(super) ids: Vec<u64>,
    /// The file that counts; `None` with `distrust`, and where there was none.
    pub(super) contents: Option<Box<Contents>>,
    pub(super) distrust: Option<String>,
    /// The highest segment of what could be read, though not trusted.
    pub(super) max_segment: u32,
}

impl Survey {
    /// Reads the files of a directory, newest first, up to the one that counts.
    pub(super) fn of(media: &dyn Media, adopt: bool) -> Result<Self, OpenError> {
        let mut survey = Self { ids: ids(media)?, ..Self::default() };
        let mut needed = 0;
        for id in survey.ids.clone() {
            let name = file_name(id);
            let (file, bytes) = load(media, &name)?;
            match Reading::of(&bytes, id) {
                Reading::HalfMade(header) => {
                    needed = needed.max(header.map_or(0, |header| header.previous));
                    continue;
                }
                Reading::Damaged { reason, max_segment } => {
                    survey.distrust = Some(format!("{name}: {reason}"));
                    survey.max_segment = max_segment;
                }
                Reading::Whole(contents) => {
                    survey.max_segment = contents.live.max_segment;
                    let moved = moved(&*file, &contents.header).map_err(|e| OpenError::new("identify", &name, e))?;
                    survey.distrust = match moved {
                        _ if id < needed => Some(missing(needed)),
                        Some(Moved::Unknown) => Some(format!("{name}: the file system cannot tell it from a copy")),
                        Some(Moved::Copy) if !adopt => Some(format!("{name}: this is a copy, or was moved")),
                        Some(Moved::Copy) | None => None,
                    };
                    survey.contents = survey.distrust.is_none().then_some(contents);
                }
            }
            return Ok(survey);
        }
        survey.distrust = (needed > 0).then(|| missing(needed));
        Ok(survey)
    }
}

fn missing(id: u64) -> String {
    format!("{}: the file is missing, and a later one was to take its place", file_name(id))
}

enum Moved {
    Copy,
    Unknown,
}

fn moved(file: &dyn File, header: &Header) -> std::io::Result<Option<Moved>> {
    Ok(match (file.identity()?, header.identity) {
        (Some(now), Some(then)) => (now != then).then_some(Moved::Copy),
        _ => Some(Moved::Unknown),
    })
}

/// Numbers of all journal files, falling.
pub(super) fn ids(media: &dyn Media) -> Result<Vec<u64>, OpenError> {
    let names = media.list().map_err(|e| OpenError::new("list", "the directory", e))?;
    let id = |name: &String| {
        let digits = name.strip_prefix("journal-")?.strip_suffix(".log")?;
        u64::from_str_radix(digits, 16).ok().filter(|&id| file_name(id) == *name)
    };
    let mut ids: Vec<u64> = names.iter().filter_map(id).collect();
    ids.sort_unstable_by(|a, b| b.cmp(a));
    Ok(ids)
}

/// A file and all its bytes.
fn load(media: &dyn Media, name: &str) -> Result<(std::sync::Arc<dyn File>, Vec<u8>), OpenError> {
    let failed = |error| OpenError::new("read", name, error);
    let file = media.open(name).map_err(failed)?;
    let out_of_memory = || failed(std::io::ErrorKind::OutOfMemory.into());
    let size = usize::try_from(file.size().map_err(failed)?).map_err(|_| out_of_memory())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| out_of_memory())?;
    bytes.resize(size, 0);
    file.read_at(0, &mut bytes).map_err(failed)?;
    Ok((file, bytes))
}

/// By the page: most of a file is zeros.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|page| ZEROS.starts_with(page))
}

/// What [`inspect`] says of one file.
#[derive(Debug)]
pub(crate) struct InspectedFile {
    /// Name in the directory.
    pub(crate) name: String,
    /// Length in bytes.
    pub(crate) size: usize,
    /// What it is.
    pub(crate) state: FileState,
}

/// What a file of the journal is.
#[derive(Debug)]
pub(crate) enum FileState {
    /// Its checkpoint is whole.
    Whole {
        /// What it begins with.
        header: Header,
        /// Bytes up to the last good record's end.
        used: usize,
        /// Good records.
        records: u64,
        /// Batches of rules that are not swept.
        purges: Vec<LivePurge>,
        /// Marks of segments not dropped.
        marks: Marks,
        /// Every rule up to here is swept.
        swept_upto: u64,
        /// Numbers up to here may have been given out.
        reserved_upto: u64,
        /// The last number given out, if the journal was closed.
        closed: Option<u64>,
        /// Whether a record stands behind `used` that was not written whole.
        torn: bool,
    },
    /// It was being made when the process ended.
    HalfMade,
    /// Why it is not trusted.
    Damaged(String),
}

/// A journal as it lies there, read without writing anything.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// All files, newest first.
    pub(crate) files: Vec<InspectedFile>,
    /// Why opening would start anew, if it would.
    pub(crate) distrust: Option<String>,
}

/// Why opening would start anew even if told to accept a directory that was moved, if it would.
///
/// # Errors
///
/// As [`inspect`].
pub(crate) fn damage(media: &dyn Media) -> Result<Option<String>, OpenError> {
    Survey::of(media, true).map(|survey| survey.distrust)
}

/// Reads a journal without writing: what is in which file, and whether opening would trust it.
///
/// # Errors
///
/// Those of reading. Damage is none.
pub(crate) fn inspect(media: &dyn Media) -> Result<Inspection, OpenError> {
    let distrust = Survey::of(media, false)?.distrust;
    let mut files = Vec::new();
    for id in ids(media)? {
        let name = file_name(id);
        let (_, bytes) = load(media, &name)?;
        let state = match Reading::of(&bytes, id) {
            Reading::HalfMade(_) => FileState::HalfMade,
            Reading::Damaged { reason, .. } => FileState::Damaged(reason),
            Reading::Whole(contents) => {
                let Contents { header, live, position: _, closed, records, end, torn } = *contents;
                FileState::Whole {
                    header,
                    used: end,
                    records,
                    purges: live.purges.into(),
                    marks: live.marks.unwrap_or_default(),
                    swept_upto: live.swept_upto,
                    reserved_upto: live.reserved_upto,
                    closed,
                    torn,
                }
            }
        };
        files.push(InspectedFile { name, size: bytes.len(), state });
    }
    Ok(Inspection { files, distrust })
}

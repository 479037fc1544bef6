//! A second tier's directory as it lies there, read without a cache: what is in it, and what of it would be used.
//!
//! Everything is read and every sum verified, so it takes as long as reading the directory does. Nothing is written, and nothing is removed that
//! opening would remove. [`directory`] needs that no process has the directory open; [`media`] reads any [`Media`].

use std::collections::HashMap;
use std::fmt;
use std::io;

use crate::disk::journal::{self, FileState, LivePurge};
use crate::disk::{Media, RecordId, kept, store};
use crate::l2::{WHOLE, codec, history};
use crate::purge::{Action, Layers, Selector};

/// The journal's byte for a dead record.
const DEAD: u8 = 3;

/// What a directory holds.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Inspection {
    /// Files of the journal, newest first.
    pub journal: Vec<JournalFile>,
    /// Why opening would discard all that is stored, if it would: the journal is damaged, or the directory is a copy or was moved.
    pub distrust: Option<String>,
    /// Files of stored objects, in the order of their numbers.
    pub segments: Vec<Segment>,
    /// The file of the purge history, if there is one.
    pub history: Option<HistoryFile>,
    /// Files that are replaced as a whole: the sites' rules, and what embedders keep.
    pub kept: Vec<KeptFile>,
    /// Sums over all files.
    pub totals: Totals,
}

/// A file of the journal.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JournalFile {
    /// Name in the directory.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// What it is.
    pub state: JournalState,
    /// Whether this is the one that opening would go by, and would trust.
    pub counts: bool,
}

/// What a file of the journal is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum JournalState {
    /// Its checkpoint is whole.
    Whole(Box<Journal>),
    /// It was being made when the process ended, and does not count.
    HalfMade,
    /// Not to be trusted, and why.
    Damaged(String),
}

/// What a whole file of the journal says.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Journal {
    /// Whose numbers these are.
    pub epoch: u64,
    /// Bytes in use.
    pub used: u64,
    /// Records, those of the checkpoint included.
    pub records: u64,
    /// Purges in force, in the order of their numbers.
    pub purges: Vec<LiveRules>,
    /// Records of segments that carry a mark.
    pub marks: u64,
    /// Every rule up to this number is swept.
    pub swept_upto: u64,
    /// Numbers up to here may have been given out.
    pub reserved_upto: u64,
    /// The last number given out, if the cache ended in order.
    pub closed: Option<u64>,
    /// Whether a record stands at the end that was not written whole.
    pub torn: bool,
}

/// A purge in force: its rules have consecutive numbers, one for each selector.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveRules {
    /// Number of the first rule.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// What was asked for; `None` if this version cannot read it, and then opening lets it take everything.
    pub purge: Option<Asked>,
}

/// A purge as it was asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Asked {
    /// What it takes.
    pub selectors: Vec<Selector>,
    /// With which action.
    pub action: Action,
    /// From which layers.
    pub layers: Layers,
    /// Who asked.
    pub by: String,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// A file of stored objects.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Segment {
    /// Its number.
    pub id: u32,
    /// Whether it is complete, by its name.
    pub sealed: bool,
    /// Whose numbers its stamps are; `None` if its header is damaged.
    pub epoch: Option<u64>,
    /// Length of the file in bytes.
    pub size: u64,
    /// Bytes that hold records.
    pub fill: u64,
    /// Intact records, bodies included.
    pub records: u64,
    /// Of these, dead ones, by the journal's marks or their own.
    pub dead: u64,
    /// Records that are not intact.
    pub damaged: u64,
    /// Whether every sum that can be told was verified and right: of a sealed file header, footer and all records; of an open one the header, and
    /// the records up to where it ends.
    pub sound: bool,
    /// Whether the device failed while it was read.
    pub failed: bool,
    /// Whether opening would use what is intact in it.
    pub used: bool,
}

/// The file of the purge history.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryFile {
    /// Length in bytes.
    pub size: u64,
    /// Whose purges these are; `None` if it is damaged.
    pub epoch: Option<u64>,
    /// Purges in it.
    pub purges: u64,
    /// Why opening would not use it, if so.
    pub damaged: Option<String>,
}

/// A file that is replaced as a whole.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct KeptFile {
    /// Name in the directory.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
    /// Whether its sum is right.
    pub sound: bool,
}

/// Sums over all files of a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Bytes of all files named here.
    pub bytes: u64,
    /// Rules in force, by the journal file that counts.
    pub rules: u64,
    /// Segments.
    pub segments: u64,
    /// Intact records.
    pub records: u64,
    /// Of these, dead ones.
    pub dead: u64,
    /// Records that are not intact.
    pub damaged: u64,
}

/// Why a directory cannot be inspected. Damage is no error.
#[derive(Debug)]
pub struct InspectError {
    message: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl InspectError {
    fn new(message: &str, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self { message: message.to_owned(), source: Box::new(source) }
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InspectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

/// Inspects a directory of a file system. Blocks.
///
/// # Errors
///
/// Where there is none, where a process has it open, and where it cannot be read.
#[cfg(target_os = "linux")]
pub fn directory(path: impl AsRef<std::path::Path>) -> Result<Inspection, InspectError> {
    let opened = crate::disk::media::Directory::inspect(path);
    media(&opened.map_err(|error| InspectError::new("the directory cannot be inspected", error))?)
}

/// Inspects what a media holds. Blocks. No cache may be using it, or what it is just writing looks torn.
///
/// # Errors
///
/// Where files cannot be listed, or the journal cannot be read.
pub fn media(media: &dyn Media) -> Result<Inspection, InspectError> {
    let failed = |error: io::Error| InspectError::new("the directory cannot be read", error);
    let read = journal::inspect(media).map_err(|error| InspectError::new("the journal cannot be read", error))?;
    let mut found = Inspection { distrust: read.distrust, ..Inspection::default() };
    let mut marks = HashMap::new();
    let mut epoch = None;
    for file in read.files {
        // The newest that is whole; of a damaged one before it there is a distrust.
        let newest = epoch.is_none() && matches!(file.state, FileState::Whole { .. });
        let counts = newest && found.distrust.is_none();
        let state = match file.state {
            FileState::HalfMade => JournalState::HalfMade,
            FileState::Damaged(reason) => JournalState::Damaged(reason),
            FileState::Whole { header, used, records, purges, marks: own, swept_upto, reserved_upto, closed, torn } => {
                let whole = Journal {
                    epoch: header.epoch,
                    used: used as u64,
                    records,
                    purges: purges.into_iter().map(rules).collect(),
                    marks: own.values().map(|marks| marks.len() as u64).sum(),
                    swept_upto,
                    reserved_upto,
                    closed,
                    torn,
                };
                if newest {
                    (epoch, marks) = (Some(header.epoch), own);
                }
                if counts {
                    let numbers = whole.purges.iter().map(|rules| rules.last.saturating_sub(rules.first));
                    found.totals.rules = numbers.fold(0, |sum, more| sum.saturating_add(more).saturating_add(1));
                }
                JournalState::Whole(Box::new(whole))
            }
        };
        found.journal.push(JournalFile { name: file.name, size: file.size as u64, state, counts });
    }
    let is_dead = |record: RecordId| {
        let of_segment = marks.get(&record.segment);
        let of = |ordinal: u32| of_segment.and_then(|marks| marks.get(&ordinal)).is_some_and(|&(mark, _)| mark >= DEAD);
        of(WHOLE) || of(record.ordinal)
    };
    for segment in store::inspect(media, &is_dead).map_err(failed)? {
        let complete = !segment.failed && segment.epoch.is_some() && (segment.footer || !segment.sealed);
        found.segments.push(Segment {
            id: segment.id,
            sealed: segment.sealed,
            epoch: segment.epoch,
            size: segment.size,
            fill: segment.fill,
            records: segment.records,
            dead: segment.dead,
            damaged: segment.damaged,
            sound: complete && segment.damaged == 0,
            failed: segment.failed,
            used: complete && found.distrust.is_none() && epoch.is_some() && segment.epoch == epoch,
        });
    }
    let mut names = media.list().map_err(failed)?;
    names.sort_unstable();
    for name in names {
        if name == history::NAME {
            found.history = Some(history_file(media));
        } else if kept::is_name(&name) {
            let bytes = kept::load(media, &name).ok().flatten();
            let size = bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
            found.kept.push(KeptFile { name, size, sound: bytes.is_some_and(|bytes| kept::is_sound(&bytes)) });
        }
    }
    found.sum();
    Ok(found)
}

/// Accepts a directory that was moved or copied on purpose, with its journal: what it holds is used when it is opened next. What
/// [`Inspection::distrust`] says that this cannot mend is given. Blocks.
///
/// Only for a directory whose cache was stopped before it was moved: a purge that was acknowledged after that is undone by this.
///
/// # Errors
///
/// As [`directory`], and where the journal cannot be written.
#[cfg(target_os = "linux")]
pub fn adopt(path: impl AsRef<std::path::Path>) -> Result<Option<String>, InspectError> {
    use crate::disk::media::{Access, Directory};
    let path = path.as_ref();
    // Opening would make it, were it not there.
    drop(Directory::inspect(path).map_err(|error| InspectError::new("the directory cannot be inspected", error))?);
    let opened = Directory::open(path, Access::Pread);
    adopt_media(std::sync::Arc::new(
        opened.map_err(|error| InspectError::new("the directory cannot be opened", error))?,
    ))
}

/// As [`adopt`], of any media.
///
/// # Errors
///
/// Where the journal cannot be read or written.
pub fn adopt_media(media: std::sync::Arc<dyn Media>) -> Result<Option<String>, InspectError> {
    let failed = |error| InspectError::new("the journal cannot be opened", error);
    // Looked at first: opening a journal that is damaged begins another.
    let damage = journal::damage(&*media).map_err(|error| InspectError::new("the journal cannot be read", error))?;
    if damage.is_some() {
        return Ok(damage);
    }
    let options = journal::Options { adopt: true, ..journal::Options::default() };
    // Its new file is the one that counts, and is at home here.
    let (_, replayed) = journal::Journal::open(media, &options).map_err(failed)?;
    Ok(replayed.distrust)
}

impl Inspection {
    fn sum(&mut self) {
        let totals = &mut self.totals;
        totals.segments = self.segments.len() as u64;
        for segment in &self.segments {
            totals.bytes += segment.size;
            totals.records += segment.records;
            totals.dead += segment.dead;
            totals.damaged += segment.damaged;
        }
        totals.bytes += self.journal.iter().map(|file| file.size).sum::<u64>();
        totals.bytes += self.kept.iter().map(|file| file.size).sum::<u64>();
        totals.bytes += self.history.as_ref().map_or(0, |file| file.size);
    }
}

fn rules(LivePurge { first, last, payload }: LivePurge) -> LiveRules {
    let purge = codec::decode(&payload).map(|(purge, created_ms)| Asked {
        selectors: purge.selectors,
        action: purge.action,
        layers: purge.layers,
        by: purge.by,
        created_ms,
    });
    LiveRules { first, last, purge }
}

fn history_file(media: &dyn Media) -> HistoryFile {
    let bytes = match kept::load(media, history::NAME) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => return HistoryFile { size: 0, epoch: None, purges: 0, damaged: Some(error.to_string()) },
    };
    let size = bytes.len() as u64;
    match history::read(&bytes, None) {
        Ok(read) => HistoryFile { size, epoch: Some(read.epoch), purges: read.records.len() as u64, damaged: None },
        Err(reason) => HistoryFile { size, epoch: None, purges: 0, damaged: Some(reason) },
    }
}

#[cfg(test)]
mod tests;

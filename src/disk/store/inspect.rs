//! Reading segments without a store, and without writing: for tools.

use std::io;
use std::sync::Arc;

use super::footer::{View, read_file_header};
use super::load::{read_footer, walk};
use super::record;
use super::segment::{DATA_AT, parse_name};
use crate::disk::{File, Media, RecordId};
use crate::entry::Mark;

/// What was found of one segment file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Inspected {
    pub(crate) id: u32,
    /// By its name.
    pub(crate) sealed: bool,
    /// Epoch by its header; `None` if that is damaged, and then nothing else was looked at.
    pub(crate) epoch: Option<u64>,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Bytes of its records, of a damaged one up to the damage.
    pub(crate) fill: u64,
    /// Intact records, bodies included.
    pub(crate) records: u64,
    /// Of these, dead ones: told so, or written so.
    pub(crate) dead: u64,
    /// Records the footer names that are not intact.
    pub(crate) damaged: u64,
    /// Of a sealed file: whether its footer is sound. Of an open one: false.
    pub(crate) footer: bool,
    /// Whether the device failed while it was read.
    pub(crate) failed: bool,
}

impl Inspected {
    fn count(&mut self, own: Mark, record: RecordId, is_dead: &dyn Fn(RecordId) -> bool) {
        self.records += 1;
        self.dead += u64::from(own == Mark::Dead || is_dead(record));
    }
}

/// Reads every segment file whole and verifies every sum; `is_dead` says what the journal knows of a record. Writes nothing; may run beside a store, whose open segments then look shorter than they are.
///
/// # Errors
///
/// If the files cannot be listed. One that cannot be read is reported as such.
pub(crate) fn inspect(media: &dyn Media, is_dead: &dyn Fn(RecordId) -> bool) -> io::Result<Vec<Inspected>> {
    let names = media.list()?;
    let mut all: Vec<Inspected> = names
        .iter()
        .filter_map(|name| {
            let (id, sealed) = parse_name(name)?;
            let mut found = Inspected { id, sealed, ..Inspected::default() };
            let opened = media.open(name).and_then(|file| file.size().map(|size| (file, size)));
            match opened.and_then(|(file, size)| {
                found.size = size;
                look(&file, &mut found, is_dead)
            }) {
                Ok(()) => {}
                Err(_) => found.failed = true,
            }
            Some(found)
        })
        .collect();
    all.sort_by_key(|found| (found.id, found.sealed));
    Ok(all)
}

fn look(file: &Arc<dyn File>, found: &mut Inspected, is_dead: &dyn Fn(RecordId) -> bool) -> io::Result<()> {
    if found.size < DATA_AT {
        return Ok(());
    }
    let Some((epoch, id)) = read_file_header(&file.bytes(0..DATA_AT)?).filter(|(_, id)| *id == found.id) else {
        return Ok(());
    };
    found.epoch = Some(epoch);
    if found.sealed {
        match read_footer(&**file, found.size, (epoch, id)) {
            Ok((trailer, bytes)) => {
                if let Some(view) = View::new(&bytes, trailer.count, trailer.tag_count) {
                    found.footer = true;
                    found.fill = trailer.data_end;
                    for ordinal in 0..trailer.count {
                        let place = view.key(ordinal).map(|key| (key.at..key.at.saturating_add(key.len), key.mark));
                        let sound = match place.filter(|(range, _)| range.end <= found.size) {
                            Some((range, mark)) => {
                                let bytes = file.bytes(range)?;
                                let decoded = record::decode(&bytes, epoch, id, ordinal);
                                decoded.is_ok_and(|decoded| decoded.body_is_sound(&bytes)).then_some(mark)
                            }
                            None => None,
                        };
                        match sound {
                            Some(mark) => found.count(mark, RecordId { segment: id, ordinal }, is_dead),
                            None => found.damaged += 1,
                        }
                    }
                    return Ok(());
                }
            }
            Err(Some(error)) => return Err(error),
            Err(None) => {}
        }
    }
    let (size, epoch_and_id) = (found.size, (epoch, id));
    let walked = walk(&**file, size, epoch_and_id, &mut |_, _, decoded| {
        found.count(decoded.meta.mark, RecordId { segment: id, ordinal: decoded.place.ordinal }, is_dead);
    });
    match walked {
        Ok(end) => found.fill = end,
        Err(Some(error)) => return Err(error),
        Err(None) => {}
    }
    Ok(())
}

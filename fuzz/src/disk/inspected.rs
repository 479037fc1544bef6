//! What `inspect` says of a directory, file by file, against the readers of the document.

use oust::disk::media::Media;
use oust::inspect::{self, JournalState as Told};
use oust_reference::format::{
    JournalReading, SegmentReading, read_history, read_journal, read_kept, read_purge, read_record, read_segment,
};

use super::files::{Files, journal_name};
use super::view::{Verdict, View, journals, segments};

pub fn check(media: &dyn Media, files: &Files) {
    let told = inspect::media(media).unwrap_or_else(|error| panic!("cannot be inspected: {error}"));
    let verdict = View::of(files).verdict;
    match verdict {
        Verdict::Distrusted => assert!(told.distrust.is_some(), "a damaged journal is trusted"),
        Verdict::Open => {}
        _ => assert_eq!(told.distrust, None, "distrusted for no reason"),
    }
    for (id, bytes) in journals(files) {
        let file = told.journal.iter().find(|file| file.name == journal_name(id));
        let state = &file.unwrap_or_else(|| panic!("journal {id} is not told of")).state;
        match (read_journal(bytes, id), state) {
            (JournalReading::Open, _)
            | (JournalReading::Damaged, Told::Damaged(_))
            | (JournalReading::HalfMade(_), Told::HalfMade) => {}
            (JournalReading::Whole(own), Told::Whole(told)) => {
                assert_eq!((told.epoch, told.used, told.records), (own.header.epoch, own.used, own.records));
                assert_eq!((told.swept_upto, told.reserved_upto), (own.swept_upto, own.reserved_upto));
                assert_eq!((told.closed, told.torn), (own.closed, own.torn));
                assert_eq!(told.marks, own.marks.len() as u64, "marks of journal {id}");
                let own: Vec<_> =
                    own.batches.iter().map(|b| (b.first, b.last, read_purge(&b.rules).is_some())).collect();
                let told: Vec<_> = told.purges.iter().map(|p| (p.first, p.last, p.purge.is_some())).collect();
                assert_eq!(told, own, "batches of journal {id}");
            }
            (own, told) => panic!("journal {id} is {told:?}, by the document {own:?}"),
        }
    }
    for (id, sealed, bytes) in segments(files) {
        let Some(told) = told.segments.iter().find(|told| told.id == id && told.sealed == sealed) else {
            panic!("segment {id} is not told of");
        };
        let Some(epoch) = told.epoch else {
            let any = bytes.get(8..16).and_then(|epoch| epoch.try_into().ok()).map_or(0, u64::from_le_bytes);
            assert_eq!(read_segment(bytes, false, any, id), SegmentReading::Removed, "segment {id} has a good header");
            continue;
        };
        match read_segment(bytes, sealed, epoch, id) {
            SegmentReading::Removed => {}
            SegmentReading::Open(records, end) => {
                assert_eq!(
                    (told.records, told.fill, told.sound),
                    (records.len() as u64, end as u64, true),
                    "segment {id}"
                );
            }
            SegmentReading::Sealed(entries, exact) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                let intact = (0..)
                    .zip(&entries)
                    .filter(|(ordinal, entry)| {
                        let record = read_record(bytes, place(entry.at), epoch, id, *ordinal);
                        // What a footer has too short is cut off.
                        record.is_some_and(|record| record.len as u64 <= entry.len)
                    })
                    .count() as u64;
                assert_eq!((told.records, told.damaged), (intact, entries.len() as u64 - intact), "segment {id}");
                assert!(told.sound || !exact, "segment {id} is sound");
            }
        }
    }
    if let (Some(bytes), Some(told)) = (files.get("history.log"), &told.history) {
        match read_history(bytes) {
            None => assert!(told.damaged.is_some(), "a damaged history is used"),
            Some(own) => {
                assert_eq!(told.damaged, None);
                assert_eq!((told.epoch, told.purges), (Some(own.epoch), own.purges.len() as u64));
            }
        }
    }
    for kept in &told.kept {
        let sound = files.get(&kept.name).is_some_and(|bytes| read_kept(bytes).is_some());
        assert_eq!(kept.sound, sound, "{}", kept.name);
    }
}

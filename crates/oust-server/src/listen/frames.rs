//! Whether a head is on its way on an HTTP/2 connection: nothing but the outline of frames (RFC 9113 4.1) is read.
//!
//! HTTP/2 has no time limit of its own for a frame that begins and does not end, nor for a header block without its last frame.

/// The client's first bytes.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Follows the frames of one connection, from its first byte.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes of the preface that came.
    preface: usize,
    outline: [u8; 9],
    /// How many bytes of `outline` came.
    have: usize,
    /// Bytes of the frame's payload that are to come.
    payload: u32,
    kind: u8,
    /// A header block has begun and its last frame has not.
    open_block: bool,
    /// How many frames have begun that continue none before them; it may wrap.
    begun: u32,
}

impl Frames {
    /// Takes note of the bytes that come next.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            if self.preface < PREFACE.len() {
                self.preface += 1;
                bytes = bytes.get(1..).unwrap_or_default();
            } else if self.payload > 0 {
                let taken = self.payload.min(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
                self.payload -= taken;
                bytes = bytes.get(usize::try_from(taken).unwrap_or(usize::MAX)..).unwrap_or_default();
            } else {
                if let Some(place) = self.outline.get_mut(self.have) {
                    *place = byte;
                }
                self.have += 1;
                bytes = bytes.get(1..).unwrap_or_default();
                if self.have == self.outline.len() {
                    self.begin();
                }
            }
        }
    }

    fn begin(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.outline;
        self.have = 0;
        if !self.open_block {
            self.begun = self.begun.wrapping_add(1);
        }
        self.payload = u32::from(high) << 16 | u32::from(middle) << 8 | u32::from(low);
        self.kind = kind;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.open_block = flags & END_HEADERS == 0;
        }
    }

    /// Changes whenever something new has begun.
    pub(super) fn begun(&self) -> u32 {
        self.begun
    }

    /// Whether something has begun that a client sends without waiting: anything but a body's data.
    pub(super) fn in_head(&self) -> bool {
        const DATA: u8 = 0;
        self.preface < PREFACE.len() || self.have > 0 || self.open_block || (self.payload > 0 && self.kind != DATA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).expect("short");
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_head_is_open_until_its_last_byte() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend(frame(4, 0, b""));
        bytes.extend(frame(HEADERS, 0, b"abc"));
        bytes.extend(frame(CONTINUATION, END_HEADERS, b"def"));
        for step in 1..=bytes.len() {
            let mut frames = Frames::default();
            let mut seen = 0;
            for part in bytes.chunks(step) {
                frames.feed(part);
                seen += part.len();
                let between = seen == bytes.len() || seen == PREFACE.len() || seen == PREFACE.len() + 9;
                assert_eq!(frames.in_head(), !between, "{seen}");
            }
        }
    }

    #[test]
    fn a_body_may_take_its_time() {
        let mut frames = Frames::default();
        frames.feed(PREFACE);
        frames.feed(&frame(0, 0, b"0123456789")[..12]);
        assert!(!frames.in_head());
    }
}

//! Buffers of a worker. One is lent when bytes have come and given back when they are used up, so that a connection
//! that waits holds none, and those in use stay in the processor's cache.

use std::cell::RefCell;
use std::rc::Rc;

use http::HeaderMap;

/// First size of a buffer; most heads and short answers fit.
const BYTES_FIRST: usize = 32 << 10;
/// Least size of a buffer that waits for more of a head.
const BYTES_COMPACT_MIN: usize = 256;
/// Buffers kept for the next use; more are given back to the system.
const SPARE_MAX: usize = 64;
/// Longer than most heads; those with a short body behind them are kept too.
const HEAD_BYTES: usize = 1 << 10;
const HEAD_BYTES_SPARE_MAX: usize = 8 << 10;
/// Maps with room for more headers than this are not kept.
const HEADERS_SPARE_MAX: usize = 64;

/// The spare buffers, header maps and heads of a worker.
#[derive(Default)]
pub(crate) struct Buffers {
    bytes: RefCell<Vec<Vec<u8>>>,
    headers: RefCell<Vec<HeaderMap>>,
    heads: RefCell<Vec<Vec<u8>>>,
}

/// Bytes that came and were not used yet.
pub(crate) struct Buffer {
    /// Fully initialized; the valid bytes are between `start` and `end`.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    home: Rc<Buffers>,
}

impl Buffers {
    pub(crate) fn lend(self: &Rc<Self>) -> Buffer {
        let bytes = self.bytes.borrow_mut().pop().unwrap_or_else(|| vec![0; BYTES_FIRST]);
        Buffer { bytes, start: 0, end: 0, home: Rc::clone(self) }
    }

    /// Takes a buffer that is of no more use where it was.
    fn take_back(&self, bytes: Vec<u8>) {
        let mut spare = self.bytes.borrow_mut();
        if spare.len() < SPARE_MAX && bytes.len() == BYTES_FIRST {
            spare.push(bytes);
        }
    }

    /// An empty map, with room where another was given back.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.headers.borrow_mut().pop().unwrap_or_default()
    }

    /// Room for a head that is put together.
    pub(crate) fn head(&self) -> Vec<u8> {
        self.heads.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(HEAD_BYTES))
    }

    /// Takes the room of a head that was sent.
    pub(crate) fn give_back_head(&self, mut head: Vec<u8>) {
        let mut spare = self.heads.borrow_mut();
        if spare.len() < SPARE_MAX && head.capacity() <= HEAD_BYTES_SPARE_MAX {
            head.clear();
            spare.push(head);
        }
    }

    /// Takes a map whose headers are of no more use.
    pub(crate) fn give_back(&self, mut headers: HeaderMap) {
        let mut spare = self.headers.borrow_mut();
        if spare.len() < SPARE_MAX && headers.capacity() <= HEADERS_SPARE_MAX {
            headers.clear();
            spare.push(headers);
        }
    }
}

impl Buffer {
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes bytes away from the front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        debug_assert!(self.start <= self.end, "only what is there can be used");
    }

    /// Free space after the content: all free space once the content has been moved to the front, and as much
    /// again if there is none, up to `bytes_max` in all. Empty at that limit.
    pub(crate) fn room(&mut self, bytes_max: usize) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.bytes.len() && self.end < bytes_max {
            self.bytes.resize((self.end * 2).max(BYTES_COMPACT_MIN).min(bytes_max), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Moves the content into a buffer of its own size, and returns this one to the pool if it is from there.
    pub(crate) fn compact(&mut self) {
        let wanted = (self.end - self.start).next_power_of_two().max(BYTES_COMPACT_MIN);
        if self.bytes.len() <= wanted {
            return;
        }
        let mut kept = Vec::with_capacity(wanted);
        kept.extend_from_slice(self.unread());
        kept.resize(wanted, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let large = std::mem::replace(&mut self.bytes, kept);
        self.home.take_back(large);
    }

    /// Says how many bytes came into the room.
    pub(crate) fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.bytes.len(), "no more than the room");
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.take_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_by_moving_and_then_by_growing_up_to_a_bound() {
        let buffers = Rc::new(Buffers::default());
        let mut buffer = buffers.lend();
        buffer.room(BYTES_FIRST * 2).fill(b'a');
        buffer.filled(BYTES_FIRST);
        buffer.consume(10);

        assert_eq!(buffer.room(BYTES_FIRST * 2).len(), 10);
        buffer.filled(10);
        assert_eq!(buffer.room(BYTES_FIRST * 2).len(), BYTES_FIRST);
        buffer.filled(BYTES_FIRST);
        assert!(buffer.room(BYTES_FIRST * 2).is_empty());
        assert_eq!(buffer.unread().len(), BYTES_FIRST * 2);
    }

    #[test]
    fn what_waits_for_more_takes_no_more_room_than_it_needs() {
        let buffers = Rc::new(Buffers::default());
        let mut buffer = buffers.lend();
        buffer.room(BYTES_FIRST)[..300].fill(b'a');
        buffer.filled(300);
        buffer.consume(10);

        buffer.compact();

        assert_eq!((buffer.unread(), buffer.bytes.len()), (&[b'a'; 290][..], 512));
        assert_eq!(buffers.bytes.borrow().len(), 1);
        assert_eq!(buffer.room(BYTES_FIRST).len(), 222);
    }

    #[test]
    fn a_buffer_that_was_given_back_is_lent_again() {
        let buffers = Rc::new(Buffers::default());
        drop(buffers.lend());
        assert_eq!(buffers.bytes.borrow().len(), 1);

        let again = buffers.lend();

        assert!(again.is_empty() && buffers.bytes.borrow().is_empty());
    }
}

//! The famous leak: a process cuts a small piece out of each large binary that it is sent, keeps the piece, and so keeps
//! all of the binary alive. Here it is without the cure and with it.
//!
//! ```sh
//! cargo run --release --example binary_leak [PACKETS]
//! ```

use bytes::Bytes;
use shared_term::heap::{COPY_OUT, HeapError, OwnedHeap};

/// Bytes of a packet, and of the header that is kept of it.
const PACKET: usize = 64 << 10;
const HEADER: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let packets = std::env::args().nth(1).map_or(Ok(2000), |n| n.parse())?;
    println!("{packets} packets of {} KiB, of each of which the first {HEADER} bytes are kept.", PACKET >> 10);
    println!("A major collection copies slices out that are together at most 1/{COPY_OUT} of what they keep alive.\n");
    println!("{:<24} {:>14} {:>16} {:>14}", "", "words of heap", "bytes off heap", "MiB resident");
    // The cure first: what the leak has had stays with the allocator.
    for (name, keep_parents) in [("slices copied out", false), ("slices left alone", true)] {
        let heap = receive(packets, keep_parents)?;
        let (words, bytes) = (heap.used_words(), heap.info().off_heap_bytes);
        let resident = resident_mib().map_or_else(|| "?".to_string(), |mib| mib.to_string());
        println!("{name:<24} {words:>14} {bytes:>16} {resident:>14}");
        assert_eq!(
            heap.root().list().filter_map(|header| header.as_bytes()).map(<[u8]>::len).sum::<usize>(),
            packets * HEADER
        );
    }
    Ok(())
}

/// What a process does that is sent so many packets. (A process collects by itself: its binaries are a reason to. Here it
/// is told to, so that both runs do the same.)
fn receive(packets: usize, keep_parents: bool) -> Result<OwnedHeap, HeapError> {
    let mut heap = OwnedHeap::new(|h| h.nil());
    heap.keep_parents(keep_parents);
    for i in 0..packets {
        let packet = Bytes::from(vec![i as u8; PACKET]);
        heap.turn(|h, headers| {
            let header = h.slice(h.bytes(packet), 0..HEADER).unwrap_or(h.nil());
            (h.cons(header, headers), ())
        });
        if i % 64 == 63 {
            heap.collect_major()?;
        }
    }
    heap.collect_major()?;
    Ok(heap)
}

/// Memory of this process, where the system says so.
fn resident_mib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? >> 10)
}

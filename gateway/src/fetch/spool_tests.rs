use super::*;

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 251) as u8).collect()
}

fn space(folder: &tempfile::TempDir, memory: u64) -> SpoolSpace {
    SpoolSpace::new(folder.path().into(), Floor(0), memory)
}

async fn read_all(spool: &Arc<Spool>, mut offset: u64) -> Vec<u8> {
    let (mut all, end, reader) = (Vec::new(), spool.end(), spool.attach().unwrap());
    while offset < end {
        let piece = reader.read(offset, end).await.unwrap();
        assert!(!piece.is_empty());
        offset += piece.len() as u64;
        all.extend_from_slice(&piece);
    }
    all
}

/// As the intake writes it: a batch now and then.
fn fill(spool: &Spool, body: &[u8], piece: usize) {
    let mut file = None;
    for piece in body.chunks(piece) {
        spool.push(Bytes::copy_from_slice(piece));
        let Some(pieces) = spool.unwritten() else { continue };
        let file = file.get_or_insert_with(|| spool.unnamed_file().unwrap());
        let at = spool.state().in_file;
        spool.write(file, &pieces, at).unwrap();
        spool.written(file, at + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>());
    }
}

#[tokio::test]
async fn a_small_one_stays_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(space(&folder, 1 << 20).spool());
    fill(&spool, &body(100_000), 8192);
    assert!(spool.state().files.is_empty());
    assert_eq!(read_all(&spool, 0).await, body(100_000));
    assert_eq!(read_all(&spool, 99_999).await, body(100_000)[99_999..]);
}

#[tokio::test]
async fn a_large_one_goes_to_a_file_without_a_name_and_memory_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let space = space(&folder, 64 << 20);
    let spool = Arc::new(space.spool());
    let whole = body(9_000_001);
    fill(&spool, &whole, 60_000);
    assert!(!spool.state().files.is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let held: usize = spool.state().recent.iter().map(|(_, piece)| piece.len()).sum();
    assert!(held as u64 <= WINDOW_BYTES + 60_000, "{held}");
    assert_eq!(space.memory.available_permits(), 61 * 1024, "the window and the batches are paid for");
    assert_eq!(read_all(&spool, 0).await, whole);
    assert_eq!(read_all(&spool, 4_200_000).await, whole[4_200_000..]);
    assert_eq!(read_all(&spool, 8_900_000).await, whole[8_900_000..]);
    drop(spool);
    assert_eq!(space.memory.available_permits(), 64 * 1024, "the budget is free again");
}

#[tokio::test]
async fn without_budget_a_small_one_goes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(space(&folder, 0).spool());
    fill(&spool, &body(1_000), 100);
    assert!(!spool.state().files.is_empty() && !spool.is_roomy());
    assert!(spool.state().recent.is_empty(), "memory that nobody has is not used");
    assert_eq!(read_all(&spool, 0).await, body(1_000));
}

#[test]
fn a_missing_folder_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let spool = SpoolSpace::new(folder.path().join("gone"), Floor(0), 0).spool();
    let error = spool.unnamed_file().unwrap_err();
    assert!(error.to_string().contains("creating the spool file"), "{error}");
}

#[test]
fn a_disk_without_room_takes_no_file_and_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let full = SpoolSpace::new(folder.path().into(), Floor(u64::MAX), 0).spool();
    let error = full.unnamed_file().unwrap_err();
    assert!(error.to_string().contains("min_free_space"), "{error}");
    let file = tempfile::tempfile().unwrap();
    assert!(full.write(&file, &[Bytes::from_static(b"x")], 0).is_err());
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[tokio::test]
async fn a_second_file_goes_on_where_the_first_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, whole) = (Arc::new(space(&folder, 0).spool()), body(300_000));
    for third in [0..100_000, 100_000..200_000, 200_000..300_000] {
        spool.push(Bytes::copy_from_slice(&whole[third.clone()]));
        let file = spool.unnamed_file().unwrap();
        spool.write(&file, &spool.unwritten().unwrap(), third.start as u64).unwrap();
        spool.written(&file, third.end as u64);
    }
    assert_eq!(spool.state().files.len(), 3);
    assert!(spool.state().recent.is_empty(), "nobody has memory for it");
    assert_eq!(read_all(&spool, 0).await, whole);
    assert_eq!(read_all(&spool, 99_999).await, whole[99_999..]);
}

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

/// Unbacked after its first piece, with a window of 256 KiB.
fn unbacked(folder: &tempfile::TempDir) -> Arc<Spool> {
    let spool = Arc::new(space(folder, 0).spool());
    push(&spool);
    spool.unback();
    spool
}

/// 200,000 bytes, as they come from a connection.
fn push(spool: &Spool) {
    body(200_000).chunks(50_000).for_each(|piece| spool.push(Bytes::copy_from_slice(piece)));
}

#[tokio::test]
async fn an_unbacked_one_waits_for_its_slowest_reader() {
    let folder = tempfile::tempdir().unwrap();
    let spool = unbacked(&folder);
    let (fast, slow) = (spool.attach().unwrap(), spool.attach().unwrap());
    spool.room(LONG).await.unwrap();
    push(&spool);
    fast.skip_to(400_000);
    let mut room = std::pin::pin!(spool.room(LONG));
    assert!(futures::poll!(room.as_mut()).is_pending(), "the slow one has had nothing");
    assert_eq!(slow.read(0, 400_000).await.unwrap().len(), 50_000);
    assert!(futures::poll!(room.as_mut()).is_pending(), "and not yet enough");
    slow.skip_to(200_000);
    room.await.unwrap();
    assert!(spool.attach().is_none(), "whoever comes now finds the beginning gone");
    assert!(matches!(slow.read(0, 400_000).await, Err(SpoolError::Passed)));
    assert_eq!(slow.read(200_000, 400_000).await.unwrap(), body(200_000)[..50_000]);
}

#[tokio::test]
async fn an_unbacked_one_leaves_a_reader_behind_that_stands_still() {
    let folder = tempfile::tempdir().unwrap();
    let spool = unbacked(&folder);
    let (alive, dead) = (spool.attach().unwrap(), spool.attach().unwrap());
    push(&spool);
    alive.skip_to(400_000);
    spool.room(SHORT).await.unwrap();
    assert!(matches!(dead.read(0, 400_000).await, Err(SpoolError::Passed)));
    drop(alive);
    drop(dead);
    assert!(matches!(spool.room(SHORT).await, Err(SpoolError::Unread)));
}

#[tokio::test]
async fn an_unbacked_one_leaves_a_slow_reader_behind_only_for_others() {
    let folder = tempfile::tempdir().unwrap();
    let spool = unbacked(&folder);
    let (fast, slow) = (spool.attach().unwrap(), spool.attach().unwrap());
    push(&spool);
    fast.skip_to(400_000);
    // It moves, and too little, and has cost the others much already.
    spool.state().readers.get_mut(&slow.id).unwrap().cost += LONG;
    let moves = async {
        tokio::task::yield_now().await;
        slow.skip_to(1);
    };
    tokio::join!(async { spool.room(LONG).await.unwrap() }, moves);
    assert_eq!(spool.state().readers.len(), 1);
    assert!(matches!(slow.read(0, 1).await, Err(SpoolError::Passed)), "the fast one goes on");
    // Alone, it is nobody's trouble.
    let spool = unbacked(&folder);
    let slow = spool.attach().unwrap();
    push(&spool);
    spool.state().readers.get_mut(&slow.id).unwrap().cost += LONG;
    let moves = async {
        tokio::task::yield_now().await;
        slow.skip_to(1);
        tokio::task::yield_now().await;
        slow.skip_to(200_000);
    };
    tokio::join!(async { spool.room(LONG).await.unwrap() }, moves);
    assert_eq!(spool.state().readers.len(), 1);
}

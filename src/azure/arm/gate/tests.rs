use async_trait::async_trait;
use futures::FutureExt;
use reqwest::Method;
use reqwest::header::HeaderValue;

use super::bucket::{PLACES, UNDER_WAY};
use super::*;

/// tokio's time, paused: it moves only when all tasks wait, to the earliest time that one of them waits for. It is set back
/// by so many seconds.
#[derive(Debug)]
struct Stopped(tokio::time::Instant, Arc<AtomicU64>);

#[async_trait]
impl Clock for Stopped {
    fn now(&self) -> DateTime<Utc> {
        let back = Duration::from_secs(self.1.load(Ordering::Relaxed));
        DateTime::UNIX_EPOCH + delta(self.0.elapsed()) - delta(back)
    }

    async fn sleep_until(&self, time: DateTime<Utc>) {
        tokio::time::sleep((time - self.now()).to_std().unwrap_or_default()).await;
    }
}

const SUBSCRIPTION: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g";

fn gate() -> Arc<Gate> {
    gate_set_back_by(Arc::default())
}

fn gate_set_back_by(seconds: Arc<AtomicU64>) -> Arc<Gate> {
    Arc::new(Gate::new(Arc::new(Stopped(tokio::time::Instant::now(), seconds))))
}

fn writes() -> Name {
    Name::of(&Method::POST, SUBSCRIPTION)
}

fn told(left: u32) -> HeaderMap {
    let name = "x-ms-ratelimit-remaining-subscription-writes";
    [(name.parse().unwrap(), HeaderValue::from(left))].into_iter().collect()
}

/// One of a run of its own that may be sent now, if it may.
fn now(gate: &Arc<Gate>, urgency: Urgency) -> Option<Admission> {
    now_of(gate, &gate.turn(urgency))
}

fn now_of(gate: &Arc<Gate>, turn: &Turn) -> Option<Admission> {
    gate.admit(writes(), turn, None).now_or_never().flatten()
}

/// All that a run may send now.
fn all_of(gate: &Arc<Gate>, turn: &Turn) -> Vec<Admission> {
    std::iter::from_fn(|| now_of(gate, turn)).collect()
}

/// Makes a bucket that holds so many.
fn with_left(left: u32) -> Arc<Gate> {
    let gate = gate();
    now(&gate, Urgency::Repair).unwrap().answered(&told(left));
    gate
}

#[test]
fn a_bucket_is_of_a_subscription_and_a_kind() {
    let name = |method, path: &str| Name::of(&method, path);
    let (list, get) = (name(Method::POST, SUBSCRIPTION), name(Method::GET, SUBSCRIPTION));
    assert_eq!(list, name(Method::PUT, &SUBSCRIPTION.to_uppercase()));
    assert_ne!(list, get);
    assert_eq!(get.header(), "x-ms-ratelimit-remaining-subscription-reads");
    assert_eq!(name(Method::GET, "/subscriptions").header(), "x-ms-ratelimit-remaining-tenant-reads");
    assert_ne!(list, name(Method::POST, "/subscriptions/00000000-0000-0000-0000-000000000002/x"));
}

#[tokio::test(start_paused = true)]
async fn so_many_are_under_way_and_no_more() {
    let gate = with_left(10_000);
    let mut under_way: Vec<_> = (0..UNDER_WAY).map(|_| now(&gate, Urgency::Check).unwrap()).collect();
    assert!(now(&gate, Urgency::Rotation).is_none());
    let in_need: Vec<_> = std::iter::from_fn(|| now(&gate, Urgency::Repair)).collect();
    assert_eq!(under_way.len() + in_need.len(), PLACES);
    drop(in_need);
    let waits = gate.clone();
    let waits = tokio::spawn(async move { waits.admit(writes(), &waits.turn(Urgency::Check), None).await });
    tokio::task::yield_now().await;
    under_way.pop();
    assert!(waits.await.unwrap().is_some(), "who waits is let in by who is done");
}

#[tokio::test(start_paused = true)]
async fn what_hangs_of_one_run_leaves_places_to_others() {
    let gate = with_left(10_000);
    let [first, second, third] = [(); 3].map(|()| all_of(&gate, &gate.turn(Urgency::Repair)));
    assert_eq!([&first, &second, &third].map(Vec::len), [102, 20, 4], "four fifths of what others leave");
    assert!(now(&gate, Urgency::Rotation).is_none());
    assert!(now(&gate, Urgency::Repair).is_some());
    drop(second);
    assert!(now(&gate, Urgency::Rotation).is_some(), "nor do repairs that hang stop all else");
}

#[tokio::test(start_paused = true)]
async fn nobody_has_more_than_half_the_places_while_others_wait() {
    let gate = with_left(10_000);
    let (big, other) = (gate.turn(Urgency::Check), gate.turn(Urgency::Check));
    let mut under_way = all_of(&gate, &big);
    assert_eq!(under_way.len(), UNDER_WAY, "who is alone has all");
    let (more, others) = (gate.admit(writes(), &big, None), gate.admit(writes(), &other, None));
    let (mut more, mut others) = (Box::pin(more), Box::pin(others));
    assert!(more.as_mut().now_or_never().is_none() && others.as_mut().now_or_never().is_none());
    under_way.pop();
    assert!(more.now_or_never().is_none());
    assert!(others.now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn of_a_bucket_that_is_nearly_empty_checks_leave_a_quarter_and_rotations_an_eighth() {
    let gate = gate();
    let count = |urgency| {
        std::iter::from_fn(|| now(&gate, urgency).map(|one| one.answered(&HeaderMap::new()))).count()
    };
    assert_eq!([Urgency::Check, Urgency::Rotation, Urgency::Repair].map(count), [150, 25, 25]);
    // What others have left is no smaller bucket; but one that is small is not left alone for ever.
    let few = with_left(40);
    assert!(now(&few, Urgency::Check).is_none());
    for _ in 0..3 {
        let turn = few.turn(Urgency::Check);
        let check = few.admit(writes(), &turn, None).map(Option::unwrap);
        tokio::time::timeout(Duration::from_secs(6), check).await.unwrap().answered(&told(8));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_counts_and_what_it_cannot_count_is_taken_off() {
    let gate = with_left(200);
    let (first, second) = (now(&gate, Urgency::Repair).unwrap(), now(&gate, Urgency::Repair).unwrap());
    // The answer to the first was given before the second came; that to the second counts both.
    first.answered(&told(3));
    drop(first);
    second.answered(&told(2));
    drop(second);
    let taken: Vec<_> = std::iter::from_fn(|| now(&gate, Urgency::Repair)).collect();
    assert_eq!(taken.len(), 2);
    let start = gate.clock.now();
    gate.admit(writes(), &gate.turn(Urgency::Repair), None).await.unwrap();
    let waited = (gate.clock.now() - start).num_milliseconds();
    assert!((100..110).contains(&waited), "a tenth of a second for one: {waited}");
}

#[tokio::test(start_paused = true)]
async fn repairs_come_before_rotations_and_those_before_checks_and_who_began_first_among_them() {
    let gate = with_left(0);
    let turns = [Urgency::Check, Urgency::Check, Urgency::Rotation, Urgency::Repair];
    let turns: Vec<_> = turns.into_iter().map(|urgency| Arc::new(gate.turn(urgency))).collect();
    let order = Arc::new(Mutex::new(Vec::new()));
    let wait = |which: usize| {
        let (gate, turn, order) = (Arc::clone(&gate), Arc::clone(&turns[which]), Arc::clone(&order));
        tokio::spawn(async move {
            gate.admit(writes(), &turn, None).await.unwrap();
            order.lock().push(which);
        })
    };
    // The run that began last asks first.
    for asked in [1, 0, 1, 2, 3].map(wait) {
        asked.await.unwrap();
    }
    assert_eq!(*order.lock(), [3, 2, 0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn notices_without_end_leave_others_most_of_what_is_given_back_and_are_not_stopped_by_them() {
    let gate = with_left(200);
    let asks_for_ever = |urgency| {
        let (gate, count) = (Arc::clone(&gate), Arc::new(AtomicU64::default()));
        let counts = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                gate.admit(writes(), &gate.turn(urgency), None).await.unwrap();
                counts.fetch_add(1, Ordering::Relaxed);
            }
        });
        count
    };
    // As many as it takes: of each of 40 services one.
    let notices: Vec<_> = (0..40).map(|_| asks_for_ever(Urgency::Notice)).collect();
    let checks = asks_for_ever(Urgency::Check);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let notices: u64 = notices.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    let checks = checks.load(Ordering::Relaxed);
    assert!(checks > 60 * 10 * 3 / 4 - 51, "{checks} checks beside {notices} notices");
    assert!(notices > 60 * 10 / 4, "{notices} notices beside {checks} checks");
    assert!(now(&gate, Urgency::Repair).is_some(), "who is in need need not wait");
}

#[tokio::test(start_paused = true)]
async fn who_is_found_to_be_in_need_passes_others_with_all_that_he_waits_for() {
    let gate = with_left(0);
    let (start, turn) = (gate.clock.now(), gate.turn(Urgency::Notice));
    let all = futures::future::join_all((0..3).map(|_| gate.admit(writes(), &turn, None)));
    // They wait when this is found.
    let in_need = async { gate.set(&turn, Urgency::Repair) };
    futures::join!(all, in_need);
    let waited = (gate.clock.now() - start).num_milliseconds();
    assert!((300..310).contains(&waited), "a tenth of a second for each: {waited}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_bucket_is_left_alone_as_long_as_azure_says_and_then_one_looks() {
    let gate = with_left(100);
    let [first, second] = [(); 2].map(|()| now(&gate, Urgency::Check).unwrap());
    first.throttled(Duration::from_secs(7));
    second.throttled(Duration::from_secs(3));
    drop((first, second));
    let start = gate.clock.now();
    let one = gate.admit(writes(), &gate.turn(Urgency::Check), None).await.unwrap();
    assert_eq!((gate.clock.now() - start).num_seconds(), 7);
    assert!(now(&gate, Urgency::Repair).is_none(), "one alone finds out");
    one.answered(&told(60));
    drop(one);
    assert!(now(&gate, Urgency::Check).is_some());
    // Other subscriptions and kinds have buckets of their own.
    let other = Name::of(&Method::GET, SUBSCRIPTION);
    assert!(gate.admit(other, &gate.turn(Urgency::Check), None).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_hangs_since_before_a_429_keeps_nobody_waiting() {
    let gate = with_left(100);
    let _hangs = now(&gate, Urgency::Check).unwrap();
    now(&gate, Urgency::Check).unwrap().throttled(Duration::from_secs(7));
    let repair = gate.turn(Urgency::Repair);
    let admitted = gate.admit(writes(), &repair, None);
    assert!(tokio::time::timeout(Duration::from_secs(8), admitted).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_nothing_shut() {
    let back = Arc::<AtomicU64>::default();
    let gate = gate_set_back_by(Arc::clone(&back));
    now(&gate, Urgency::Repair).unwrap().throttled(Duration::from_secs(5));
    back.store(600, Ordering::Relaxed);
    assert!(now(&gate, Urgency::Repair).is_none());
    tokio::time::sleep(Duration::from_secs(5)).await;
    now(&gate, Urgency::Repair).unwrap().answered(&told(0));
    // Nor is what is given back lost.
    back.store(1200, Ordering::Relaxed);
    assert!(now(&gate, Urgency::Repair).is_none());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(std::iter::from_fn(|| now(&gate, Urgency::Repair)).count(), 10);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_his_time_and_who_goes_leaves_no_trace() {
    let gate = with_left(100);
    now(&gate, Urgency::Repair).unwrap().throttled(Duration::from_secs(60));
    let start = gate.clock.now();
    let soon = Some(start + delta(Duration::from_secs(10)));
    let (patient, hasty) = (gate.turn(Urgency::Repair), gate.turn(Urgency::Check));
    let waits = gate.admit(writes(), &patient, None);
    let gives_up = gate.admit(writes(), &hasty, soon);
    let (admitted, late) = futures::join!(waits, gives_up.map(|late| (late.is_none(), gate.clock.now())));
    assert_eq!(late, (true, start + delta(Duration::from_secs(10))));
    assert!(admitted.is_some());
    drop(admitted);
    let cancelled = gate.admit(writes(), &hasty, None);
    assert!(tokio::time::timeout(Duration::ZERO, cancelled).await.is_err());
    let empty =
        gate.change(&writes(), None, |bucket, _| bucket.waiting.is_empty() && bucket.under_way.is_empty());
    assert!(empty);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_his_time_where_nothing_is_answered() {
    let gate = with_left(10_000);
    let _hang: Vec<_> = (0..UNDER_WAY).map(|_| now(&gate, Urgency::Check).unwrap()).collect();
    let (turn, two) = (gate.turn(Urgency::Check), Duration::from_secs(2));
    let late = gate.admit(writes(), &turn, Some(gate.clock.now() + delta(two)));
    assert!(tokio::time::timeout(two, late).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_azure_counts_as_the_other_kind_is_not_taken_off_this_one_and_must_be_there() {
    let gate = gate();
    let reads = |left: u32| -> HeaderMap {
        let name = "x-ms-ratelimit-remaining-subscription-reads".parse().unwrap();
        [(name, HeaderValue::from(left))].into_iter().collect()
    };
    for _ in 0..500 {
        now(&gate, Urgency::Check).unwrap().answered(&reads(150));
    }
    now(&gate, Urgency::Check).unwrap().answered(&reads(7));
    assert!(now(&gate, Urgency::Check).is_none());
    assert_eq!(all_of(&gate, &gate.turn(Urgency::Repair)).len(), 7);
}

//! Every number that bounds something from outside, with its reason.

use std::time::Duration;

/// Longest repository name. The spec asks clients to stay below 255 including the host name.
pub const REPOSITORY_NAME_MAX: usize = 255;
/// Longest tag (distribution spec: 128).
pub const TAG_MAX: usize = 128;
/// Longest media type we store. RFC 6838 allows 127 + 1 + 127.
pub const MEDIA_TYPE_MAX: usize = 255;
/// Longest region name: a DNS label, because regions show up in host names.
pub const REGION_NAME_MAX: usize = 63;
/// Longest registry or upstream name (management contract).
pub const NAME_MAX: usize = 255;
/// Longest description (management contract).
pub const DESCRIPTION_MAX: usize = 1024;
/// Longest path of a group: that of GitLab, which people copy.
pub const GROUP_PATH_MAX: usize = 255;
/// Longest upstream URL (management contract).
pub const UPSTREAM_URL_MAX: usize = 255;
/// Longest user name or password of an upstream (management contract).
pub const CREDENTIAL_MAX: usize = 510;
/// Most upstreams of one registry by default (management contract).
pub const UPSTREAMS_PER_REGISTRY: usize = 20;
/// Most registries of one group by default (management contract).
pub const REGISTRIES_PER_GROUP: usize = 1000;

/// Longest pattern of claims and projects: paths of projects and references of Git have at most as many characters.
pub const PATTERN_MAX: usize = 255;
/// Most rules of an upstream (what the management API promises). Each is tried on every pull.
pub const RULES_MAX: usize = 50;
/// Longest reason or replacement of a rule: a host, a repository and a tag fit, and so does a line on a terminal.
pub const RULE_NOTE_MAX: usize = 512;
/// Longest address of a provider of identities, its keys or a GitLab instance.
pub const WEB_URL_MAX: usize = 255;
/// Most providers of identities by default: a company has a few CI systems and a few dozen clusters.
pub const IDENTITY_PROVIDERS_MAX: usize = 100;
/// Most claim rules of one provider by default. Each is tried when a job signs in.
pub const CLAIM_RULES_PER_PROVIDER: usize = 200;
/// Most claims of a rule: a token of GitLab has some forty.
pub const CLAIMS_PER_RULE_MAX: usize = 20;
/// Most rules for projects of the GitLab instance. Each is tried when a job signs in.
pub const PROJECT_RULES_MAX: usize = 1000;
/// Longest time a cleanup policy keeps what nobody asks for (management contract).
pub const CLEANUP_KEEP_DAYS_MAX: u16 = 365;
/// Longest message of a failure that is kept for whoever looks: what does not fit is in the log.
pub const FAILURE_MESSAGE_MAX: usize = 255;
/// How long a retired signing key is kept: no token that it signed lives for more than minutes.
pub const SIGNING_KEY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Most entries of a page of a list (management contract).
pub const ENTRIES_PER_PAGE_MAX: usize = 100;
/// Rows of the index that one question for entries looks at: a search that finds nothing in a hundred thousand has taken long
/// enough, and no page of a list lies further down for anybody who turns pages. GitLab ends at 50,000.
pub const ENTRIES_SCAN_MAX: usize = 100_000;
/// Entries that one command brings into the index: some milliseconds of every member's time. Ten million take ten thousand
/// commands, one after the other, between everybody else's.
pub const INDEX_STEP: usize = 1000;

/// Largest manifest, cached or passed on. The spec asks registries to take at least 4 MiB; larger ones are refused by
/// every common registry, so that a hostile upstream cannot make us hold more.
pub const MANIFEST_MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Most descriptors kept of one manifest. The largest real indexes have a few hundred; a 4 MiB manifest could name 40,000.
pub const MANIFEST_DESCRIPTORS_MAX: usize = 4096;
/// Largest blob. Model and dataset images reach tens of GiB; 512 GiB stops an endless body.
pub const BLOB_MAX_BYTES: u64 = 512 * 1024 * 1024 * 1024;
/// Longest upstream `ETag` kept for the record.
pub const UPSTREAM_ETAG_MAX: usize = 256;

/// Tags asked for at a time. Docker Hub and Quay give at most 100 whatever is asked, others take any number.
pub const TAGS_PAGE: usize = 1000;
/// Most tags of one repository. The largest public ones have some tens of thousands; one takes some 50 bytes of memory.
pub const TAGS_MAX: usize = 200_000;
/// Most parts of an upstream's list that are put together: 20,000 tags where a registry gives 100 at a time.
pub const LISTING_PAGES_MAX: usize = 200;
/// Largest list of an upstream, all parts together. 100,000 tags of 40 characters are 4 MiB.
pub const LISTING_MAX_BYTES: u64 = 8 * 1024 * 1024;
/// Longest query of a `Link` that is followed; page tokens have a few hundred bytes.
pub const LISTING_QUERY_MAX: usize = 2048;
/// How long a whole list may take, all parts together: below the minute after which proxies give up.
pub const LISTING_TIMEOUT: Duration = Duration::from_secs(45);
/// How long a list is served without asking again: a job that lists in a loop asks once a minute, a pushed tag or signature
/// shows up within one.
pub const LISTING_VALIDITY: Duration = Duration::from_secs(60);
/// Memory for lists.
pub const LISTING_MEMORY: u64 = 16 * 1024 * 1024;

/// Largest request target we parse: a registry path is at most 255 + 128 + a few words, `ns` and paging included.
pub const REQUEST_TARGET_MAX: usize = 4096;
/// Largest header block of a request to us. Bearer tokens of CI providers reach 8 KiB.
pub const REQUEST_HEADERS_MAX_BYTES: usize = 32 * 1024;
/// Most header fields of a request to us.
pub const REQUEST_HEADERS_MAX: usize = 100;
/// How long a client may take to send its request head. Stops idle half-requests from holding sockets.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Part of a blob that is held back until its digest is verified: enough that a client cannot take a
/// wrong body for a whole one, little enough that nobody waits for it.
pub const VERIFY_HOLD_BACK: u64 = 64 * 1024;
/// Unit in which blobs are checked and held in memory. Divides a hot 2 GB layer into 500 pieces.
pub const CHUNK_BYTES: u64 = 4 * 1024 * 1024;
/// Memory a single fill's spool may hold before it goes to disk. Small layers never touch the disk.
pub const SPOOL_MEMORY_PER_FILL: u64 = 4 * 1024 * 1024;
/// Downloads of blobs that run at once; the others wait for their turn. Each holds about a MiB beside its spool (what is
/// being read, hashed and written, and what a slow client has in hand): measured, 300 wanted at once cost 338 MiB, spools
/// included. A fleet's start has some dozens of distinct layers.
pub const FILLS_MAX: usize = 256;
/// Blobs that are fetched before a client asks at the same time, unless configured: docker and containerd take three layers
/// at a time, and these run ahead of them.
pub const PREFETCH_DEFAULT: usize = 4;
/// Most that may be configured: no more than [`PREFETCH_BUSY`] ever run.
pub const PREFETCH_MAX: usize = PREFETCH_BUSY;
/// Downloads under way, prefetches among them, from which on no further prefetch begins: what ten nodes pull at once. Beyond,
/// the line to the upstreams is for what somebody waits for.
pub const PREFETCH_BUSY: usize = 32;
/// Blobs that wait to be prefetched; what comes beyond is left to whoever asks. Eight images of the largest kind, or fifty
/// common ones, some 300 bytes each.
pub const PREFETCH_QUEUE_MAX: usize = 1024;
/// How long one may wait: by then the client that was given the manifest has asked for it, or has left.
pub const PREFETCH_WAIT_MAX: Duration = Duration::from_secs(5 * 60);
/// How long nothing is prefetched after a blob that could not be stored: it is downloaded again by whoever asks.
pub const PREFETCH_STORE_PAUSE: Duration = Duration::from_secs(60);
/// Most blobs of one manifest that are prefetched: docker makes images of at most 127 layers, and there is a configuration.
pub const PREFETCH_BLOBS_PER_MANIFEST_MAX: usize = 128;
/// Most bytes of one manifest that are prefetched. Images for machine learning have 5 to 15 GiB; what goes beyond is rather
/// a dataset, of which a client may want a part.
pub const PREFETCH_BYTES_PER_MANIFEST_MAX: u64 = 16 * 1024 * 1024 * 1024;
/// Prefetched blobs of which it is remembered that no client has asked for them: for a metric.
pub const PREFETCHED_IN_MEMORY: u64 = 10_000;
/// The most of them from one source: one whose bodies stand still leaves a quarter to the others.
pub const FILLS_OF_A_SOURCE_MAX: usize = 192;
/// Memory all spools together may hold, windows and batches of large ones included.
pub const SPOOL_MEMORY_TOTAL: u64 = 64 * 1024 * 1024;

/// What stays free of the disk with the data, unless configured: below it nothing more is stored. The metadata, on the same
/// disk, stops at the first write that fails; its log and a new snapshot beside the old one take some dozens of MiB.
pub const MIN_FREE_SPACE_DEFAULT: u64 = 512 * 1024 * 1024;

/// Memory tier for blobs, unless configured.
pub const BLOB_MEMORY_DEFAULT: u64 = 256 * 1024 * 1024;
/// Memory tier for manifests, unless configured: apart, so that layers never evict them.
pub const MANIFEST_MEMORY_DEFAULT: u64 = 64 * 1024 * 1024;
/// Rows of metadata a gateway keeps in memory (tags, rights): some 300 bytes each.
pub const METADATA_ROWS_IN_MEMORY: u64 = 100_000;

/// Headers leave by then where the size is known. containerd gives up after 30 s without headers.
pub const HEADER_DEADLINE: Duration = Duration::from_secs(10);
/// TCP and TLS to an upstream. Above one lost SYN (3 s), below a client's patience.
pub const UPSTREAM_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From request to response headers of an upstream, for what nothing is cached of.
pub const UPSTREAM_HEADER_TIMEOUT: Duration = Duration::from_secs(20);
/// The same where a stale copy is at hand: a pull must not wait for a dead upstream.
pub const UPSTREAM_STALE_DEADLINE: Duration = Duration::from_secs(2);
/// Longest silence inside an upstream's body. Idle, never total: a large layer may take hours.
pub const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an unused connection to an upstream is kept. Common load balancers close after 60 s: we do so first, for a
/// request on a connection that is just being closed fails.
pub const UPSTREAM_CONNECTION_IDLE: Duration = Duration::from_secs(50);
/// Unused connections kept per upstream host: as many as one node's pull opens at once, several times.
pub const UPSTREAM_CONNECTIONS_IDLE_MAX: usize = 32;
/// What one HTTP/2 answer may have on its way to us: 8 MiB in 80 ms are 100 MB/s, where the protocol's 64 KiB are 0.8.
/// Fixed, not adaptive: it is then a bound on memory too.
pub const UPSTREAM_HTTP2_STREAM_WINDOW: u32 = 8 * 1024 * 1024;
/// The same for all answers of one HTTP/2 connection together; an origin has one.
pub const UPSTREAM_HTTP2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Pings on an HTTP/2 connection with answers outstanding: a dead one (a NAT that forgot it) would else hold
/// every request to its host, because they share it. With the next, less than [`UPSTREAM_HEADER_TIMEOUT`].
pub const UPSTREAM_HTTP2_PING_EVERY: Duration = Duration::from_secs(10);
/// How long such a ping may stay unanswered while nothing else arrives.
pub const UPSTREAM_HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Redirects followed for one request (registries send one or two).
pub const UPSTREAM_REDIRECTS_MAX: usize = 5;
/// Largest answer of a token endpoint. Real ones have 1 to 8 KiB.
pub const TOKEN_ANSWER_MAX_BYTES: usize = 256 * 1024;
/// Error bodies of upstreams are read this far for their code.
pub const UPSTREAM_ERROR_BODY_MAX_BYTES: usize = 64 * 1024;
/// Longest parameter of a challenge that is looked at: a realm is a URL, and no server takes a longer one.
pub const CHALLENGE_PARAMETER_MAX: usize = 2048;
/// Lifetime of a token whose answer names none (token spec).
pub const TOKEN_DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// Challenges kept, one per repository of an upstream; also what is remembered by name of failures, a few hundred bytes each.
pub const TOKENS_IN_MEMORY: u64 = 10_000;
/// Memory for tokens, one per (realm, service, scope, identity): 10,000 of 3 KiB. By bytes, for an upstream decides how long
/// its tokens are, up to [`TOKEN_ANSWER_MAX_BYTES`].
pub const TOKENS_MEMORY: u64 = 32 * 1024 * 1024;
/// Attempts in hand to continue one body that broke off. Each starts where the last ended.
pub const FILL_RESUMES_MAX: u32 = 10;
/// Bytes that earn one such attempt back: a blob of 2 GB may break off 500 times, a line that drops each connection after a
/// few KiB is given up.
pub const FILL_RESUME_EARNED_BY: u64 = 4 * 1024 * 1024;
/// Longest wait that an upstream's `Retry-After` gets in the middle of a body: clients give up on a body at a standstill
/// after 30 s or more.
pub const FILL_RETRY_AFTER_MAX: Duration = Duration::from_secs(15);
/// How long an unbacked download waits for a reader at a standstill before it goes on without it.
pub const SPOOL_STANDSTILL: Duration = Duration::from_secs(30);
/// First pause before such an attempt; doubles each time.
pub const FILL_RESUME_BACKOFF: Duration = Duration::from_millis(100);
/// Longest such pause.
pub const FILL_RESUME_BACKOFF_MAX: Duration = Duration::from_secs(5);

/// TCP and TLS to an object store. It is near: what takes longer is away.
pub const STORE_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest silence of an object store, before its answer or inside it. Idle, never total: bodies go at a client's pace.
/// A part of 8 MiB has to be sent within it, which needs 2.3 Mbit/s.
pub const STORE_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Retries of a request to an object store that failed on its way or was answered with 5xx.
pub const STORE_RETRIES_MAX: usize = 3;
/// No retry begins later than this after the first attempt: behind a read stands a client that gives up after 30 s
/// without headers, and an upstream that can be asked instead.
pub const STORE_RETRY_WINDOW: Duration = Duration::from_secs(8);
/// Most parts of one upload (S3, GCS; Azure takes 50,000).
pub const STORE_UPLOAD_PARTS_MAX: u64 = 10_000;
/// Uploads of a killed process that are aborted at the same time.
pub const STORE_ABORTS_AT_ONCE: usize = 8;

/// Smallest blob that clients are sent to the object store for, unless configured: below, the extra request costs more
/// than the bytes.
pub const REDIRECT_MIN_SIZE_DEFAULT: u64 = 16 * 1024 * 1024;
/// How long a signed URL works, unless configured. It has to be followed within it; a transfer that began goes on.
pub const REDIRECT_EXPIRY_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// Shortest expiry: clocks differ, and a client may wait for a free connection.
pub const REDIRECT_EXPIRY_MIN: Duration = Duration::from_secs(10);
/// Longest expiry: S3 signs for seven days at most; a URL that leaks should be of no use by then.
pub const REDIRECT_EXPIRY_MAX: Duration = Duration::from_secs(24 * 3600);

/// Validity of a tag unless configured (management contract: 24 h).
pub const TAG_VALIDITY_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// How long after its validity a tag is served while its upstream fails.
pub const STALE_IF_ERROR_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long after it vanished upstream a tag is served (`on_not_found = stale`).
pub const STALE_IF_NOT_FOUND: Duration = Duration::from_secs(24 * 3600);
/// How long "not here" is remembered: a burst of jobs asks once, a newly pushed image shows up soon.
pub const NOT_HERE_MEMORY: Duration = Duration::from_secs(10);
/// How long a failed revalidation is remembered, so that a dead upstream costs one short wait, not one per pull.
pub const FAULT_MEMORY: Duration = Duration::from_secs(5);
/// Answers that were no content which are remembered (the two above), by count: who asks for one-off names in a flood
/// pushes older ones out. Some 400 bytes each.
pub const SETBACKS_IN_MEMORY: u64 = 10_000;
/// Longest `Retry-After` of an upstream that is believed: Docker Hub counts pulls in windows of six hours. Without a bound,
/// one odd answer would silence an upstream for ever.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);
/// `Retry-After` on 503 and 504 when the upstream named none.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);

/// A tag in use is checked ahead in the last tenth of its validity: 2.4 of 24 hours, time enough to meet nearly every tag
/// that is pulled daily by several jobs, and no more than a tenth of the checks are spent early.
pub const REFRESH_AHEAD_PART: u32 = 10;
/// Tags of which it is remembered that this gateway has checked ahead: as many as change hands in a tenth of a day.
pub const REFRESHES_IN_MEMORY: u64 = 10_000;
/// Checks ahead that run at once. Each is one small request; a fleet's start after a night makes thousands due together.
pub const REFRESHES_AT_ONCE: usize = 8;

/// Sources (origin and identity) whose budget and breakers are kept: more than any configuration has upstreams.
pub const SOURCES_IN_MEMORY: u64 = 10_000;
/// Below this part of a rate budget validity stretches. Docker Hub's 100 in six hours leave 25: about one an hour and
/// quarter, so that a fleet's cold pulls still find some.
pub const BUDGET_LOW_PERCENT: u64 = 25;
/// The most that validity is stretched by while something is left: a day becomes four.
pub const BUDGET_STRETCH_MAX: u32 = 4;
/// The window of a budget that names none: Docker Hub's.
pub const BUDGET_WINDOW_DEFAULT: Duration = Duration::from_secs(6 * 3600);
/// The longest window that is believed: a budget that is used up stretches validity until it ends.
pub const BUDGET_WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
/// Faults in a row after which an upstream is left alone: one pull retries three to five times by itself, so that fewer
/// would let a single client decide.
pub const BREAKER_FAULTS: u32 = 5;
/// How long it is then left alone at first; doubles each time. As long as clients are told to wait.
pub const BREAKER_PAUSE: Duration = RETRY_AFTER_DEFAULT;
/// The longest such pause: a registry that is back is used again within a minute.
pub const BREAKER_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The same after a 429 that names no time.
pub const BREAKER_RATE_LIMITED_MAX: Duration = Duration::from_secs(5 * 60);
/// How soon to come back while another request finds out.
pub const BREAKER_PROBE_WAIT: Duration = Duration::from_secs(1);
/// The least by which a gateway that was only told of a wait comes after the one that was asked to wait: two exchanges of the
/// fleet, so that it hears what the other one finds.
pub const BREAKER_STAGGER: Duration = Duration::from_secs(2);
/// The part of that which each gateway has for itself: a fleet of ten then probes three times a second at worst.
pub const BREAKER_STAGGER_SPREAD: Duration = Duration::from_secs(3);
/// The most sources that a gateway tells the fleet of at a time: about 100 KiB a second.
pub const STANDINGS_TOLD_MAX: usize = 1000;
/// The longest `Retry-After` that is obeyed: one request an hour is no burden to anybody, and shows when a limit was raised.
pub const BREAKER_RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// How often access counts are sent to the metadata.
pub const TOUCH_EVERY: Duration = Duration::from_secs(5);
/// Distinct entries counted between two sends; beyond it, counts are sent early.
pub const TOUCH_BATCH_MAX: usize = 10_000;
/// How long a gateway of a cluster takes new connections after SIGTERM, unless configured: load balancers ask every second or two.
pub const DRAIN_DELAY_DEFAULT: Duration = Duration::from_secs(3);
/// Wait for running streams after SIGTERM, unless configured.
pub const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);

/// How long another region's copy may take to begin: as long as whoever has a stale copy waits for an upstream, and a fraction
/// of what clients wait for headers.
pub const REGION_PATIENCE: Duration = UPSTREAM_STALE_DEADLINE;
/// Silence in the middle of a copy after which the upstream is asked for the rest.
pub const REGION_SILENCE: Duration = Duration::from_secs(10);
/// How long a region that did not answer is not asked: one pull in ten seconds finds out, and the others do not wait.
pub const REGION_AWAY: Duration = Duration::from_secs(10);
/// Regions of one digest that a look at the metadata lists.
pub const REGIONS_MAX: usize = 64;
/// How often a member tells its watchers how far it is.
pub const WATCH_HEARTBEAT: Duration = Duration::from_millis(500);
/// A watch that is silent for so long is broken: six heartbeats.
pub const WATCH_SILENCE_MAX: Duration = Duration::from_secs(3);
/// How long a connection to a node or a gateway may take to come about: they are near.
pub const RPC_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a connection to a node or a gateway is tried for life. Without, it hangs after a partition that has healed.
pub const RPC_PING_EVERY: Duration = Duration::from_secs(2);
/// How long the answer may take before the connection counts as dead.
pub const RPC_PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest message of a call between nodes and gateways, in bytes: a configuration of thousands of registries, and a batch
/// of the raft log (1 MiB of entries and at least one, of up to a manifest's children).
pub const RPC_MESSAGE_MAX: usize = 64 << 20;
/// What may be on its way in one stream between gateways without an acknowledgement: a gigabit over 30 ms.
pub const RPC_STREAM_WINDOW: u32 = 4 << 20;
/// The same for all streams of a connection.
pub const RPC_CONNECTION_WINDOW: u32 = 16 << 20;
/// How long a member that is behind what a client has seen waits to catch up before it sends the client elsewhere: a member
/// that follows a leader is there within one round trip and one write to its disk.
pub const READ_CATCH_UP: Duration = Duration::from_millis(200);
/// How long a call to the metadata's leader may take, tries included: outlives one election, so that a call made during one
/// mostly succeeds.
pub const META_LEADER_PATIENCE: Duration = Duration::from_secs(5);
/// How long a call that any member can answer may take, tries included. Behind it stands a pull.
pub const META_LOCAL_PATIENCE: Duration = Duration::from_secs(2);
/// How long one member may take for such a call: by then a connection has come about or has not.
pub const META_LOCAL_ATTEMPT: Duration = RPC_CONNECT_TIMEOUT;
/// How long the nearest member may think about a question before the others are asked too: far above what a read takes (less
/// than a millisecond), far below what a client of a pull notices.
pub const META_HEDGE_AFTER: Duration = Duration::from_millis(50);
/// How often all members are asked at once, to find out who answers first, and names are looked up anew.
pub const META_LOOK_AROUND_EVERY: Duration = Duration::from_secs(30);
/// The pause before members are asked again that could not answer; doubles each time.
pub const META_RETRY_PAUSE: Duration = Duration::from_millis(50);
/// The longest such pause.
pub const META_RETRY_PAUSE_MAX: Duration = Duration::from_millis(400);
/// Events of a watch that wait in a gateway for whoever follows it; what comes beyond waits at the member, which drops who is
/// too slow.
pub const WATCH_QUEUE: usize = 64;
/// How long another gateway may take to say that it can be followed: it is near, and says so before its upstream answers.
pub const PEER_ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a gateway that leads and cannot be reached is waited for, while it keeps its session alive. Above the time in
/// which a session ends, so that one that is down is never passed by.
pub const PEER_UNREACHABLE_MAX: Duration = Duration::from_secs(6);
/// How long to wait for the end of another's lease before it is looked at again.
pub const HOLDER_PATIENCE: Duration = Duration::from_millis(500);
/// What a gateway that hands over leaves the others to take over. They hear of it at once.
pub const HAND_OVER_PAUSE: Duration = Duration::from_millis(500);
/// How long other gateways may take to say whether they work on a blob, where no lease tells. All are asked at once.
pub const LOOK_PATIENCE: Duration = Duration::from_millis(500);
/// How long after the metadata came back others are asked that: each notices by itself that it is back, and records then what
/// it fetched without a lease. Above the time that one hanging call may take.
pub const AFTER_OUTAGE: Duration = Duration::from_secs(10);
/// Results that wait for the metadata to come back. Some 1 KiB each; the oldest are let go, and only cost a download later.
pub const LATER_MAX: usize = 20_000;
/// How often they are tried again where it went wrong.
pub const LATER_EVERY: Duration = Duration::from_secs(5);
/// How long tokens are honoured by a gateway that hears nothing from the metadata: it would not hear of a revocation either.
pub const MAX_DISCONNECTED_AUTH: Duration = Duration::from_secs(3600);
/// How long `/readyz` waits for object storage: load balancers give up after a few seconds.
pub const HEALTH_PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How far beyond a snapshot's revision the group begins that is restored from it: more commands than any group applies between two
/// backups (a thousand a second for a month and a half).
pub const RESTORE_GAP: u64 = 1 << 32;

//! Figures as JSON and in Prometheus' text format.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use oust::cache::{L2State, L2Stats, Stats};
use oust::purge::Usage;
use serde_json::{Map, Value, json};

use crate::front::Front;
use crate::listen::{BOUNDS, Refused};
use crate::proxy::Figures;

/// `GET /v1/stats`.
pub(super) fn json(stats: &Stats, figures: &Figures, front: &Front, uptime: Duration) -> Value {
    let by_reason = |counts: &[(oust::Reason, u64)]| -> Map<String, Value> {
        counts.iter().map(|(reason, count)| (reason.to_string(), json!(count))).collect()
    };
    json!({
        "uptime_seconds": uptime.as_secs(),
        "requests": {
            "total": figures.requests.get(),
            "passed": figures.passed.get(),
            "collapsed": figures.collapsed.get(),
            "stale_on_error": figures.stale_on_error.get(),
        },
        "lookups": {
            "hits": stats.hits,
            "stale": stats.stale,
            "must_validate": stats.must_validate,
            "misses": by_reason(&stats.misses),
        },
        "fills": {
            "fetches": figures.fetches.get(),
            "origin_errors": figures.origin_errors.get(),
            "in_flight": stats.fills,
            "in_flight_bytes": stats.fill_bytes,
            "stored": stats.stored,
            "skipped": by_reason(&stats.skipped),
        },
        "connections": {
            "total": front.figures.connections.get(),
            "open": front.figures.open.get(),
            "http1": front.figures.http1.get(),
            "http2": front.figures.http2.get(),
            "tls": front.figures.tls.get(),
            "tls_failed": front.figures.tls_failed.get(),
            "upgraded": front.figures.upgraded.get(),
        },
        "refused": refused(front).map(|(name, count)| (name.to_owned(), json!(count))).collect::<Map<_, _>>(),
        "access_log": { "written": front.log.written(), "dropped": front.log.dropped() },
        "reloads": { "done": front.figures.reloads.get(), "failed": front.figures.reloads_failed.get() },
        "edge": {
            "objects": stats.objects,
            "bytes": stats.bytes,
            "capacity": stats.capacity,
            "evicted": stats.evicted,
            "pinned_bytes": stats.pinned_bytes,
        },
        "l2": stats.l2.as_ref().map_or_else(|| json!({ "state": "off" }), |l2| l2_json(l2, stats.seq)),
        "purges": {
            "seq": stats.seq,
            "low_water": stats.low_water,
            "live_rules": stats.live_rules,
            "max_rules": stats.max_rules,
            "oldest_unswept_ms": stats.oldest_unswept_ms,
            "rule_table_bytes": stats.rule_table_bytes,
        },
    })
}

fn l2_json(l2: &L2Stats, seq: u64) -> Value {
    json!({
        "state": state(Some(l2)),
        "objects": l2.objects,
        "bytes": l2.bytes,
        "capacity": l2.capacity,
        "pinned_bytes": l2.pinned_bytes,
        "memory_bytes": l2.memory_bytes,
        "segments": l2.segments,
        "hits": l2.hits,
        "deferred": l2.deferred,
        "busy": l2.busy,
        "promoted": l2.promoted,
        "written": l2.written,
        "not_written": l2.not_written,
        "waiting_bytes": l2.waiting_bytes,
        "refused": l2.refused,
        "appended_bytes": l2.appended_bytes,
        "evicted_segments": l2.evicted_segments,
        "reinserted": l2.reinserted,
        "read_errors": l2.read_errors,
        "damaged": l2.damaged,
        "dropped_segments": l2.dropped_segments,
        "io_errors": l2.io_errors,
        "sweep_lag_rules": seq.saturating_sub(l2.swept_upto),
        "journal": {
            "bytes": l2.journal_bytes,
            "syncs": l2.journal_syncs,
            "failures": l2.journal_failures,
            "sync_seconds": l2.journal_time.as_secs_f64(),
        },
    })
}

/// The state of the second tier, in a word.
fn state(l2: Option<&L2Stats>) -> &'static str {
    match l2.map(|l2| l2.state) {
        None => "off",
        Some(L2State::Ok) => "ok",
        Some(L2State::Loading) => "loading",
        // Also what a later engine may add: an operator looks rather than trusts.
        Some(_) => "degraded",
    }
}

/// `GET /metrics`.
pub(super) fn exposition(stats: &Stats, figures: &Figures, front: &Front, usage: &[Usage]) -> String {
    let mut text = Text(String::new());
    text.one("oust_requests_total", "counter", "Requests taken.", figures.requests.get());
    text.one("oust_requests_passed_total", "counter", "Requests passed through.", figures.passed.get());
    text.one("oust_requests_collapsed_total", "counter", "Requests that joined a fill.", figures.collapsed.get());
    text.one(
        "oust_stale_on_error_total",
        "counter",
        "Stale answers for a failed origin.",
        figures.stale_on_error.get(),
    );
    text.one("oust_fetches_total", "counter", "Fills begun.", figures.fetches.get());
    text.one("oust_origin_errors_total", "counter", "Requests that got no answer.", figures.origin_errors.get());
    text.connections(front);

    text.one("oust_hits_total", "counter", "Fresh answers from the store.", stats.hits);
    text.one("oust_stale_total", "counter", "Lookups that found something stale but usable.", stats.stale);
    text.one("oust_must_validate_total", "counter", "Lookups that found something to validate.", stats.must_validate);
    text.by_reason("oust_misses_total", "Lookups that found nothing usable.", &stats.misses);
    text.one("oust_stored_total", "counter", "Responses stored.", stats.stored);
    text.by_reason("oust_skipped_total", "Responses not stored.", &stats.skipped);
    text.one("oust_evicted_total", "counter", "Objects evicted.", stats.evicted);

    let l2 = stats.l2.as_ref();
    text.layers("gauge", "oust_layer_objects", "Objects stored.", stats.objects, l2.map(|l2| l2.objects));
    text.layers("gauge", "oust_layer_bytes", "Bytes in use.", stats.bytes, l2.map(|l2| l2.bytes));
    text.layers(
        "gauge",
        "oust_layer_capacity_bytes",
        "Bytes that may be used.",
        stats.capacity,
        l2.map(|l2| l2.capacity),
    );
    let lag = |upto: u64| stats.seq.saturating_sub(upto);
    text.layers(
        "gauge",
        "oust_sweep_lag_rules",
        "Rules published and not yet swept.",
        lag(stats.swept_upto),
        l2.map(|l2| lag(l2.swept_upto)),
    );
    // A lookup that the second tier answers is one of the hits above, if what it found is fresh.
    let found = stats.hits.saturating_add(stats.stale).saturating_add(stats.must_validate);
    text.layers(
        "counter",
        "oust_layer_hits_total",
        "Lookups that found something, by the layer it was in.",
        found.saturating_sub(l2.map_or(0, |l2| l2.hits)),
        l2.map(|l2| l2.hits),
    );
    text.layers(
        "gauge",
        "oust_layer_pinned_bytes",
        "Bytes no longer stored that readers hold.",
        stats.pinned_bytes,
        l2.map(|l2| l2.pinned_bytes),
    );
    text.one("oust_fills_in_flight", "gauge", "Fills in flight.", stats.fills);
    text.one("oust_fills_in_flight_bytes", "gauge", "Bytes they hold.", stats.fill_bytes);
    text.one("oust_pinned_bytes", "gauge", "Bytes no longer stored that readers hold.", stats.pinned_bytes);

    text.one("oust_purge_seq", "gauge", "Number of the newest rule.", stats.seq);
    text.one("oust_live_rules", "gauge", "Rules not yet retired.", stats.live_rules);
    text.one("oust_max_rules", "gauge", "Their cap.", stats.max_rules);
    text.one("oust_rule_table_bytes", "gauge", "Bytes of the rule table.", stats.rule_table_bytes);
    text.usage(usage);
    // Prometheus counts time in seconds.
    let seconds = Duration::from_millis(stats.oldest_unswept_ms).as_secs_f64();
    text.one("oust_oldest_unswept_rule_seconds", "gauge", "Age of the oldest rule not yet swept.", seconds);
    text.family("oust_l2_state", "gauge", "State of the L2 tier.");
    let now = state(l2);
    for state in ["ok", "loading", "degraded", "off"] {
        text.sample("oust_l2_state", &format!("{{state=\"{state}\"}}"), u8::from(state == now));
    }
    text.l2(l2);
    text.0
}

/// What was refused, by reason.
fn refused(front: &Front) -> impl Iterator<Item = (&'static str, u64)> {
    Refused::all().map(|why| (why.as_str(), front.figures.refused(why)))
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, "", value);
    }

    fn connections(&mut self, front: &Front) {
        let figures = &front.figures;
        self.one("oust_connections_total", "counter", "Connections accepted.", figures.connections.get());
        self.one("oust_connections_open", "gauge", "Connections now.", figures.open.get());
        self.family(
            "oust_protocol_connections_total",
            "counter",
            "Connections by the protocol they turned out to speak.",
        );
        self.sample("oust_protocol_connections_total", "{protocol=\"http/1\"}", figures.http1.get());
        self.sample("oust_protocol_connections_total", "{protocol=\"h2\"}", figures.http2.get());
        self.one("oust_tls_handshakes_total", "counter", "TLS handshakes that succeeded.", figures.tls.get());
        self.one(
            "oust_tls_handshakes_failed_total",
            "counter",
            "TLS handshakes that failed.",
            figures.tls_failed.get(),
        );
        self.one("oust_upgrades_total", "counter", "Connections joined with an origin's.", figures.upgraded.get());
        self.family("oust_refused_total", "counter", "Requests and connections refused.");
        for (reason, count) in refused(front) {
            self.sample("oust_refused_total", &format!("{{reason=\"{reason}\"}}"), count);
        }
        self.one("oust_access_log_lines_total", "counter", "Lines of the access log.", front.log.written());
        self.one("oust_access_log_dropped_total", "counter", "Lines it had no room for.", front.log.dropped());
        self.one("oust_reloads_total", "counter", "Configurations taken.", figures.reloads.get());
        self.one("oust_reloads_failed_total", "counter", "Configurations refused.", figures.reloads_failed.get());

        let name = "oust_request_duration_seconds";
        let durations = figures.durations();
        self.family(name, "histogram", "Time from a request's head to its answer's.");
        for (bound, count) in BOUNDS.iter().zip(durations.within) {
            let seconds = Duration::from_micros(*bound).as_secs_f64();
            self.sample(&format!("{name}_bucket"), &format!("{{le=\"{seconds}\"}}"), count);
        }
        self.sample(&format!("{name}_bucket"), "{le=\"+Inf\"}", durations.count);
        self.sample(&format!("{name}_sum"), "", Duration::from_micros(durations.micros).as_secs_f64());
        self.sample(&format!("{name}_count"), "", durations.count);
    }

    /// The budgets of rules that no table answers, of the hosts and directories that use most of them. Canonical texts need no escaping.
    fn usage(&mut self, usage: &[Usage]) {
        type Figure = fn(&Usage) -> u64;
        let families: [(&str, &str, Figure); 5] = [
            ("oust_rules_unanchored", "Live rules that no literal leads to, by host or first directory.", |u| {
                u.unanchored
            }),
            ("oust_rules_unanchored_work", "Their work for each byte of a key.", |u| u.unanchored_work),
            ("oust_rules_compared", "Live rules compared one by one, by URL or domain.", |u| u.compared),
            ("oust_rules_work", "Work of live automata for each byte of a key, by host.", |u| u.work),
            ("oust_rules_memory_bytes", "Bytes of live automata, by host.", |u| u.memory),
        ];
        for (name, help, value) in families {
            self.family(name, "gauge", help);
            for usage in usage.iter().filter(|usage| value(usage) > 0) {
                self.sample(name, &format!("{{of=\"{}\"}}", usage.of), value(usage));
            }
        }
    }

    fn layers(&mut self, kind: &str, name: &str, help: &str, edge: u64, l2: Option<u64>) {
        self.family(name, kind, help);
        self.sample(name, "{layer=\"edge\"}", edge);
        if let Some(l2) = l2 {
            self.sample(name, "{layer=\"l2\"}", l2);
        }
    }

    /// Figures of the second tier alone; without one the families have no samples.
    fn l2(&mut self, l2: Option<&L2Stats>) {
        type Figure = fn(&L2Stats) -> u64;
        let families: [(&str, &str, &str, Figure); 18] = [
            ("oust_l2_segments", "gauge", "Segment files.", |l2| l2.segments),
            ("oust_l2_memory_bytes", "gauge", "Bytes of memory for index and buffers.", |l2| l2.memory_bytes),
            ("oust_l2_waiting_bytes", "gauge", "Bytes that wait to be written.", |l2| l2.waiting_bytes),
            ("oust_l2_deferred_total", "counter", "Lookups that waited for the disk.", |l2| l2.deferred),
            ("oust_l2_busy_total", "counter", "Lookups that missed because too many waited.", |l2| l2.busy),
            ("oust_l2_promoted_total", "counter", "Objects copied to the memory tier.", |l2| l2.promoted),
            ("oust_l2_written_total", "counter", "Objects written.", |l2| l2.written),
            ("oust_l2_not_written_total", "counter", "Objects that were to be written and were not.", |l2| {
                l2.not_written
            }),
            ("oust_l2_refused_total", "counter", "Objects that found no room among those that wait.", |l2| l2.refused),
            ("oust_l2_appended_bytes_total", "counter", "Bytes appended to segments.", |l2| l2.appended_bytes),
            ("oust_l2_evicted_segments_total", "counter", "Segments evicted.", |l2| l2.evicted_segments),
            ("oust_l2_reinserted_total", "counter", "Objects of evicted segments written again.", |l2| l2.reinserted),
            ("oust_l2_read_errors_total", "counter", "Records that could not be read.", |l2| l2.read_errors),
            ("oust_l2_damaged_total", "counter", "Records whose sums were wrong.", |l2| l2.damaged),
            ("oust_l2_dropped_segments_total", "counter", "Segments dropped for damage.", |l2| l2.dropped_segments),
            ("oust_l2_io_errors_total", "counter", "Errors of the device.", |l2| l2.io_errors),
            ("oust_journal_bytes", "gauge", "Bytes in use of the journal's file.", |l2| l2.journal_bytes),
            ("oust_journal_sync_failures_total", "counter", "Syncs of the journal that failed.", |l2| {
                l2.journal_failures
            }),
        ];
        for (name, kind, help, value) in families {
            self.family(name, kind, help);
            if let Some(l2) = l2 {
                self.sample(name, "", value(l2));
            }
        }
        let name = "oust_journal_sync_seconds";
        self.family(name, "histogram", "Time of a sync of the journal, which purges wait for.");
        let times = l2.map_or(&[][..], |l2| &l2.journal_times);
        let mut within = 0_u64;
        for (class, count) in times.iter().enumerate() {
            within = within.saturating_add(*count);
            // The last class has no end.
            if class.saturating_add(1) < times.len() {
                let seconds = Duration::from_micros(1_u64 << class.min(63)).as_secs_f64();
                self.sample(&format!("{name}_bucket"), &format!("{{le=\"{seconds}\"}}"), within);
            }
        }
        self.sample(&format!("{name}_bucket"), "{le=\"+Inf\"}", within);
        self.sample(&format!("{name}_sum"), "", l2.map_or(Duration::ZERO, |l2| l2.journal_time).as_secs_f64());
        self.sample(&format!("{name}_count"), "", within);
    }

    fn by_reason(&mut self, name: &str, help: &str, counts: &[(oust::Reason, u64)]) {
        self.family(name, "counter", help);
        for (reason, count) in counts {
            self.sample(name, &format!("{{reason=\"{reason}\"}}"), count);
        }
    }
}

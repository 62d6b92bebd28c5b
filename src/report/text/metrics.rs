//! Metrics that do not get to their receiver.

sentences! {
    wrong(fault) = "metrics are not exported: {fault}";
    not_exported(host, why) = "the metrics could not be exported to {host}: {why}. Nothing waits for that. The next export brings the numbers as they are then; each cause is told once, until an export succeeds";
    exported_again(host) = "the metrics are exported to {host} again";
    too_slow(host, bound) = "the export of metrics to {host} takes longer than {bound}: answers are not kept waiting for it any longer. This is told once, until an export is in time";
    NO_ANSWER = "no answer, so nobody knows whether it took them";
    CANNOT_CONNECT = "it cannot be reached";
    NO_BODY = "its answer broke off, so nobody knows whether it took them";
    answered(status) = "it answered {status}";
    answered_with(status, kind) = "it answered {status} with {kind}, which is no answer of a receiver of OTLP: a proxy or a sign-in may stand before it";
    rejected(points) = "it took the export, but refused {points} of its data points";
    SOME_REJECTED = "it refused data points";
}

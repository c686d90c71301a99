# SPDX-License-Identifier: Apache-2.0
# The table of bench/run, from its JSON objects: for every workload and who ran it the median and the best of the figure that
# counts, and how many times the peer's median ours is.
function field(name,    at, rest) {
    at = match($0, "\"" name "\": *")
    if (!at)
        return ""
    rest = substr($0, at + RLENGTH)
    if (substr(rest, 1, 1) == "\"") {
        rest = substr(rest, 2)
        return substr(rest, 1, index(rest, "\"") - 1)
    }
    match(rest, /^[^,}]*/)
    return substr(rest, 1, RLENGTH)
}

function note(workload, figure, better, extra,    who, key, value) {
    value = field(figure)
    if (value == "")
        return
    who = field("who")
    key = workload " " figure SUBSEP who
    if (!(key in count)) {
        keys[++key_count] = key
        direction[key] = better
    }
    values[key, ++count[key]] = value + 0
    if (extra != "")
        extras[key] = extra
}

# Insertion sort: there are few.
function median(key,    n, i, j, x, sorted) {
    n = count[key]
    for (i = 1; i <= n; i++) {
        x = values[key, i]
        for (j = i - 1; j >= 1 && sorted[j] > x; j--)
            sorted[j + 1] = sorted[j]
        sorted[j + 1] = x
    }
    least = sorted[1]
    most = sorted[n]
    return n % 2 ? sorted[(n + 1) / 2] : (sorted[n / 2] + sorted[n / 2 + 1]) / 2
}

field("workload") == "A" {
    note("A", "steady_examples_s", 1, "rmse " field("rmse"))
    note("A", "examples_s", 1)
}
field("workload") == "B" {
    note("B", "examples_s", 1, (field("percent_of_peak") != "" ? field("percent_of_peak") " % of peak, " : "") "loss " field("loss"))
    note("B", "best_examples_s", 1, field("best_percent_of_peak") != "" ? field("best_percent_of_peak") " % of peak" : "")
}
field("workload") == "C" {
    note("C/" field("hidden"), "examples_s", 1, field("percent_of_peak") != "" ? "best " field("percent_of_peak") " % of peak" : "")
    note("C/" field("hidden"), "best_examples_s", 1)
}
field("workload") == "D" {
    d = "D/" field("batch") (field("mask") == "true" ? "/mask" : "")
    note(d, "examples_s", 1, (field("percent_of_peak") != "" ? field("percent_of_peak") " % of peak, " : "") "accuracy " field("accuracy"))
    note(d, "best_examples_s", 1, field("best_percent_of_peak") != "" ? field("best_percent_of_peak") " % of peak" : "")
}
field("workload") == "H" {
    note("H", "mb_s", 1, "checksum " field("checksum"))
    note("H", "cpu_mb_s", 1)
}
field("workload") == "G" {
    note("G", "training_s", 0, "auc " field("auc"))
    note("G", "seconds", 0)
    note("G", "steady_examples_s", 1)
}
field("workload") == "predict" {
    note("predict", "median_ms", 0)
    note("predict", "max_rss_mb", 0)
}

END {
    printf "\n%-8s %-20s %-22s %4s %12s %12s  %s\n", "workload", "figure", "who", "runs", "median", "best", ""
    for (i = 1; i <= key_count; i++) {
        split(keys[i], parts, SUBSEP)
        split(parts[1], words, " ")
        m = median(keys[i])
        medians[keys[i]] = m
        ratio = ""
        if (parts[2] == "pilaster")
            ours[parts[1]] = m
        else if (parts[1] in ours && m > 0)
            ratio = sprintf("ours is %.1f times that", direction[keys[i]] ? ours[parts[1]] / m : m / ours[parts[1]])
        printf "%-8s %-20s %-22s %4d %12.6g %12.6g  %s%s%s\n", words[1], words[2], parts[2], count[keys[i]], m,
            direction[keys[i]] ? most : least, extras[keys[i]], extras[keys[i]] != "" && ratio != "" ? ", " : "", ratio
    }
}

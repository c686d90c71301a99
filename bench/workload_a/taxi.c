/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data of workloads A and H: taxi rides, made up, the same bytes everywhere (seed 7; no function of libm but sqrt, which
 * rounds exactly). Pickups and dropoffs crowd around a middle, two airports take a few, so that cells and crosses are used as
 * unevenly as in a city. The fare follows a formula of distance, hour, day and airport, with noise: a model has something to
 * find in every column, and an error below which it cannot come.
 *
 *     taxi FOLDER [ROWS [EVALUATION_ROWS]]     writes train.csv (2,000,000 rows) and valid.csv (100,000)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

enum { DRAWS = 8 }; /* blocks of four random words a row */

/* A row's random words, used one after the other. */
struct draws {
    uint32_t words[4 * DRAWS];
    int next;
};

static double uniform(struct draws *draws)
{
    return (double)draws->words[draws->next++] / 4294967296.0;
}

/* Almost normal, mean 0, deviation 1. */
static double noise(struct draws *draws)
{
    double sum = uniform(draws) + uniform(draws) + uniform(draws) + uniform(draws);
    return (sum - 2) * sqrt(3.0);
}

static double rounded(double value, double steps)
{
    return (double)(int64_t)(value * steps + (value < 0 ? -0.5 : 0.5)) / steps;
}

struct place {
    double lon, lat;
    bool airport;
};

static struct place draw_place(struct draws *draws)
{
    double kind = uniform(draws), east = noise(draws), north = noise(draws);
    struct place place = { -73.98 + 0.02 * east + 0.01 * north, 40.755 + 0.025 * north, false };
    if (kind < 0.06) {
        bool far = kind < 0.025;
        place = (struct place){ (far ? -73.785 : -73.87) + 0.004 * east, (far ? 40.645 : 40.774) + 0.003 * north, true };
    } else if (kind < 0.25) {
        place = (struct place){ -73.94 + 0.06 * east, 40.74 + 0.05 * north, false };
    }
    place.lon = rounded(place.lon, 1e5);
    place.lat = rounded(place.lat, 1e5);
    return place;
}

/* Fewer rides before dawn than in the evening. */
static int draw_hour(struct draws *draws)
{
    int hour = (int)(uniform(draws) * 24);
    double again = uniform(draws), instead = uniform(draws);
    return hour < 6 && again < 0.6 ? 6 + (int)(instead * 18) : hour;
}

static int draw_passengers(struct draws *draws)
{
    double u = uniform(draws);
    return u < 0.7 ? 1 : u < 0.85 ? 2 : 3 + (int)((u - 0.85) / 0.15 * 4);
}

/* 69 and 52.3 miles a degree; streets run in a grid, hence the sum beside the straight line. */
static double miles(struct place from, struct place to)
{
    double north = fabs(from.lat - to.lat) * 69, east = fabs(from.lon - to.lon) * 52.3;
    return 0.5 * (north + east) + 0.5 * sqrt(north * north + east * east);
}

static double fare_of(struct place from, struct place to, int day, int hour, struct draws *draws)
{
    bool weekend = day == 0 || day == 6, rush = !weekend && ((hour >= 7 && hour < 10) || (hour >= 16 && hour < 20));
    double a_mile = rush ? 3.1 : hour < 6 ? 2.1 : weekend ? 2.4 : 2.6;
    double fare = 2.5 + a_mile * miles(from, to) + (hour >= 20 || hour < 6 ? 0.5 : 0) + (rush && hour >= 16 ? 1 : 0) +
                  (from.airport ? 4 : 0) + (to.airport ? 2 : 0) + (day == 5 && hour >= 21 ? 1.5 : 0);
    fare += noise(draws) * (0.8 + 0.08 * fare);
    return fare < 2.5 ? 2.5 : rounded(fare, 100);
}

static int print_ride(struct random_key key, uint64_t row, char *line, size_t size)
{
    static const char *const days[] = { "Sun", "Mon", "Tues", "Wed", "Thurs", "Fri", "Sat" };
    struct draws draws = { .next = 0 };
    for (uint64_t i = 0; i < DRAWS; i++)
        random_bits(key, i, row, draws.words + 4 * i);
    struct place from = draw_place(&draws), to = draw_place(&draws);
    int day = (int)(uniform(&draws) * 7), hour = draw_hour(&draws), passengers = draw_passengers(&draws);
    return snprintf(line, size, "%.2f,%s,%d,%.5f,%.5f,%.5f,%.5f,%d,%.5f,%.5f\n", fare_of(from, to, day, hour, &draws), days[day],
                    hour, from.lon, from.lat, to.lon, to.lat, passengers, from.lat - to.lat, from.lon - to.lon);
}

static bool write_rides(const char *path, const char *stream, int64_t rows, pil_status *status)
{
    static const char header[] =
        "fare,dayofweek,hourofday,pickuplon,pickuplat,dropofflon,dropofflat,passengers,latdiff,londiff\n";
    struct random_key key = random_key(7, stream);
    struct file_writer *writer = file_writer_new(path, status);
    if (!writer)
        return false;
    bool ok = file_write(writer, header, sizeof header - 1, status);
    for (int64_t row = 0; row < rows && ok; row++) {
        char line[200];
        ok = file_write(writer, line, (size_t)print_ride(key, (uint64_t)row, line, sizeof line), status);
    }
    if (ok)
        return file_writer_finish(writer, status);
    file_writer_abandon(writer);
    return false;
}

int main(int count, char **words)
{
    int64_t rows = count > 2 ? atoll(words[2]) : 2000000, evaluation_rows = count > 3 ? atoll(words[3]) : 100000;
    pil_status status = { PIL_OK, "" };
    char path[4096];
    if (count < 2) {
        fprintf(stderr, "taxi FOLDER [ROWS [EVALUATION_ROWS]]\n");
        return 2;
    }
    snprintf(path, sizeof path, "%s/train.csv", words[1]);
    bool ok = write_rides(path, "taxi train", rows, &status);
    snprintf(path, sizeof path, "%s/valid.csv", words[1]);
    if (ok && write_rides(path, "taxi valid", evaluation_rows, &status))
        return 0;
    fprintf(stderr, "taxi: %s\n", status.message);
    return 1;
}

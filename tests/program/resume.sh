#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: resume.sh PROGRAM SUBJECT
# The promise of docs/model-dir.md: a run that was stopped and started again reaches the same bits as one that was not, with
# any number of threads, with and without a cache. Checkpoints hold no times, so whole files are compared.
# SUBJECT: models, input, optimizers or signals.
set -u
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
subject=$2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}exitcode=99" UBSAN_OPTIONS="halt_on_error=1:exitcode=99"
export LC_ALL=C
number=0
result=0

report() { # report NAME FAULTS: passes where there are none
    number=$((number + 1))
    if [ ! -s "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        sed 's/^/# /' "$2"
        result=1
    fi
    : >"$2"
}

# train FOLDER STEPS OPTION...: goes on to STEPS; complains on faults when the program does.
train() {
    folder=$1
    steps=$2
    shift 2
    "$program" train model.yaml --model-dir "$folder" --max-steps "$steps" "$@" >out 2>err || {
        echo "train $folder $steps $*: exit code $?"
        cat err
    } >>faults
}

# same FOLDER FOLDER STEP: the two checkpoints are the same files.
same() {
    for end in index data-00000-of-00001; do
        cmp "$1/model.ckpt-$3.$end" "$2/model.ckpt-$3.$end" >>faults 2>&1
    done
}

# 300 rows in two files: neither 300 nor 200 is a multiple of the batch size, so that batches run across files and epochs.
make_data() {
    awk 'BEGIN {
        split("red green blue black white", colors, " ")
        split("oak elm ash fir yew box may", words, " ")
        seed = 12345
        for (row = 1; row <= 300; row++) {
            file = row <= 200 ? "train-1.csv" : "train-2.csv"
            if (row == 1 || row == 201)
                print "color,size,tags,x,z,weight,kind,amount,late" >file
            tags = words[1 + draw(7)]
            for (more = draw(4); more > 0; more--)
                tags = tags "|" words[1 + draw(7)]
            printf "%s,%d,%s,%.3f,%.2f,%.2f,%d,%.2f,%d\n", colors[1 + draw(5)], draw(12), tags, draw(2000) / 1000 - 1,
                draw(1000) / 10, 0.5 + draw(200) / 100, draw(3), draw(5000) / 100, draw(2) >file
        }
    }
    function draw(limit) {
        seed = (seed * 1103 + 12347) % 1000003
        return int(seed / 7) % limit
    }'
}

# model ESTIMATOR LABEL PARAMS INPUT: model.yaml.
model() {
    cat >model.yaml <<END
estimator: $1
label: $2
columns:
  color: {categorical_column_with_vocabulary_list: {vocabulary_list: [red, green, blue, black]}}
  size: {categorical_column_with_identity: {num_buckets: 12}}
  tags: {categorical_column_with_hash_bucket: {hash_bucket_size: 40}}
  x: {numeric_column: {}}
  z: {numeric_column: {normalizer_fn: {subtract: 50, divide: 30}}}
  z_part: {bucketized_column: {source_column: z, boundaries: [20, 40, 60, 80]}}
  color_size: {crossed_column: {keys: [color, size], hash_bucket_size: 50}}
  tags_vector: {embedding_column: {categorical_column: tags, dimension: 5}}
  pair_vector: {embedding_column: {categorical_column: color_size, dimension: 3, combiner: sqrtn}}
  color_hot: {indicator_column: {categorical_column: color}}
params: {$3}
input: {train: "train-*.csv", eval: train-1.csv, batch_size: 32, fields: {tags: {separator: "|"}}, $4}
eval: {throttle_secs: 0}
run: {tf_random_seed: 3, save_checkpoints_steps: 8}
END
}
WIDE='linear_feature_columns: [color, size, tags, color_size, z_part]'
DEEP='dnn_feature_columns: [tags_vector, pair_vector, color_hot, x, z], dnn_hidden_units: [16, 8]'
PLAIN_DEEP='feature_columns: [tags_vector, pair_vector, color_hot, x, z], hidden_units: [16, 8]'

# In one go, in two and in four pieces, and with other numbers of threads.
in_pieces() {
    train once 60 --threads 1
    train two 20
    train two 60
    same once two 60
    report "$1: in two pieces" faults
    train four 9 --threads 2
    train four 10 --threads 1
    train four 38 --threads 3
    train four 60
    same once four 60
    report "$1: in four pieces, at the ends of epochs" faults
    for threads in 2 3 8; do
        train threads-$threads 60 --threads $threads
        same once threads-$threads 60
    done
    report "$1: 2, 3 and 8 threads" faults
    rm -rf once two four threads-*
}

models() {
    echo 1..15
    model dnn_linear_combined_classifier late "$WIDE, $DEEP" 'shuffle: 100'
    in_pieces "wide and deep"
    model dnn_classifier kind "$PLAIN_DEEP, n_classes: 3, dropout: 0.3, batch_norm: true, optimizer: Adam" 'shuffle: true'
    in_pieces "dropout and batch norm"
    model dnn_linear_combined_regressor amount "$WIDE, $DEEP, weight_column: weight, dnn_dropout: 0.5, batch_norm: true" \
        'shuffle: 50'
    in_pieces "weights, dropout and batch norm, wide and deep"
    model linear_regressor amount 'feature_columns: [color, tags, color_size, z_part, x], weight_column: weight' 'shuffle: false'
    in_pieces "a linear model with weights"
    model baseline_regressor amount 'weight_column: weight' 'shuffle: 64'
    in_pieces "a baseline"
}

input() {
    echo 1..10
    model dnn_linear_combined_classifier late "$WIDE, $DEEP" 'shuffle: 100'
    train plain 60 --threads 1
    for threads in 1 3; do
        train cached-$threads 60 --threads $threads --set input.cache=true
        same plain cached-$threads 60
    done
    report "with a cache" faults
    train part-cached 25 --set input.cache=true
    train part-cached 60
    same plain part-cached 60
    report "begun with a cache, ended without" faults
    train late-cached 25
    train late-cached 43 --set input.cache=true
    train late-cached 60 --set input.cache=true
    same plain late-cached 60
    report "begun without a cache, ended with one" faults
    for shuffle in false 1 2 299 300 301 true; do
        rm -rf a b
        train a 33 --set input.shuffle=$shuffle --threads 1
        train b 18 --set input.shuffle=$shuffle
        train b 29 --set input.shuffle=$shuffle --set input.cache=true
        train b 33 --set input.shuffle=$shuffle
        same a b 33
    done
    report "shuffle buffers of all sizes" faults
    for batch in 1 7 300 1000; do
        rm -rf a b
        train a 12 --set input.batch_size=$batch --threads 1
        train b 5 --set input.batch_size=$batch
        train b 12 --set input.batch_size=$batch --threads 3
        same a b 12
    done
    report "batches of all sizes" faults

    # 900 rows make 29 batches, the last one short; then the input has ended and a checkpoint has no place to go on from.
    rm -rf a b
    train a 1000 --set input.epochs=3 --threads 1
    train b 11 --set input.epochs=3
    train b 1000 --set input.epochs=3
    same a b 29
    train a 1000 --set input.epochs=3
    train b 35 --set input.epochs=3
    train b 1000 --set input.epochs=3
    same a b 58
    report "to the end of the input, and once more" faults

    rm -rf a b
    cp model.yaml whole.yaml
    sed 's/eval: train-1.csv, //; s/^eval: {/&split: 0.25, /' whole.yaml >model.yaml
    train a 60 --threads 1
    train b 20
    train b 60 --set input.cache=true
    same a b 60
    mv whole.yaml model.yaml
    report "a split of one file" faults

    rm -rf a b
    train a 20 --set input.skip=6 --threads 1
    train b 3 --set input.skip=6
    train b 20 --set input.skip=6
    same a b 20
    report "skipped batches" faults

    # A cursor knows its files, so checkpoints differ there; the models must not.
    "$program" predict plain --data train-1.csv >expected 2>>faults
    gzip train-1.csv train-2.csv
    sed 's/train-\*.csv/train-*.csv.gz/; s/train-1.csv/train-1.csv.gz/' model.yaml >new && mv new model.yaml
    train zipped 60 --threads 1
    train zipped-two 20
    train zipped-two 60 --set input.cache=true
    same zipped zipped-two 60
    report "compressed files" faults
    "$program" predict zipped --data train-1.csv.gz 2>>faults | cmp - expected >>faults 2>&1
    report "compressed files give the model that plain ones give" faults
}

optimizers() {
    set -- 'Adagrad' 'Adam' '{adam: {amsgrad: true, decay: 0.01}}' 'Ftrl' '{ftrl: {l1_regularization_strength: 0.01, beta: 0.1}}' \
        'RMSprop' '{rmsprop: {centered: true, momentum: 0.9}}' 'SGD' '{sgd: {momentum: 0.9, nesterov: true}}' 'Adamax' 'Nadam' \
        'Adadelta' '{adagrad: {learning_rate: {exponential_decay: {initial_learning_rate: 0.1, decay_steps: 7, decay_rate: 0.8}}}}' \
        '{adam: {clipnorm: 0.01}}' '{sgd: {clipvalue: 0.001, global_clipnorm: 0.02}}'
    echo 1..$(($# + 5))
    model dnn_linear_combined_regressor amount "$WIDE, $DEEP" 'shuffle: 100'
    for optimizer in "$@"; do
        resume_both "$optimizer"
    done
    resume_both Adam --set params.clip_gradients=0.1
    for optimizer in Adam Ftrl RMSProp '{momentum: {learning_rate: 0.01}}'; do
        resume_both "$optimizer" --set tensorflow=1
    done
}

# resume_both OPTIMIZER OPTION...: both parts of the model take it.
resume_both() {
    optimizer=$1
    shift
    rm -rf a b
    train a 24 --threads 1 --set "params.linear_optimizer=$optimizer" --set "params.dnn_optimizer=$optimizer" "$@"
    train b 13 --set "params.linear_optimizer=$optimizer" --set "params.dnn_optimizer=$optimizer" "$@"
    train b 24 --set "params.linear_optimizer=$optimizer" --set "params.dnn_optimizer=$optimizer" "$@"
    same a b 24
    report "$optimizer${*:+ with $*}" faults
}

# The step that a folder's newest checkpoint is of.
newest() {
    sed -n 's/^model_checkpoint_path: "model.ckpt-\([0-9]*\)"$/\1/p' "$1/checkpoint"
}

# interrupt SIGNAL LINES TURNS: starts a training without end in the folder `stopped`; when it has printed so many evaluations,
# counts to TURNS, sends it the signal, and waits for it. What it says comes through a pipe, so nothing waits by the clock.
interrupt() {
    mkfifo said
    "$program" train model.yaml --model-dir stopped --max-steps 1000000 >out 2>said &
    process=$!
    seen=0
    while read -r line; do
        echo "$line" >>err
        case $line in step*eval*) seen=$((seen + 1)) ;; *) continue ;; esac
        [ $seen = "$2" ] || continue
        turn=0
        while [ $turn -lt "$3" ]; do turn=$((turn + 1)); done
        kill -"$1" $process 2>>faults
    done <said
    wait $process 2>>killed
    code=$?
    rm said
}

signals() {
    echo 1..6
    model dnn_linear_combined_classifier late "$WIDE, $DEEP, dnn_dropout: 0.2, batch_norm: true" 'shuffle: 100'
    for signal in INT TERM; do
        : >err
        interrupt $signal 3 0
        [ $code = 130 ] || echo "exit code $code" >>faults
        tail -n 1 err | grep -q '^pilaster: stopped .* step [0-9]*; the checkpoint is saved' || cat err >>faults
        report "SIG$signal: exit code 130, and a word about it" faults
        step=$(newest stopped)
        [ "${step:-0}" -ge 24 ] || echo "the newest checkpoint is of step '$step'" >>faults
        [ ! -s out ] || echo "something on standard output" >>faults
        train stopped $((step + 20))
        train once $((step + 20)) --threads 1
        same once stopped $((step + 20))
        report "SIG$signal: stopped at step $step, went on to the same bits" faults
        rm -rf stopped once
    done

    # Killed ten times, each time after another while; there are saves all the time.
    sed 's/save_checkpoints_steps: 8/save_checkpoints_steps: 2/' model.yaml >new && mv new model.yaml
    for kill in 1 2 3 4 5 6 7 8 9 10; do
        : >err
        interrupt KILL $((1 + kill % 4)) $((kill * kill * 300))
        [ $code = 137 ] || {
            echo "kill $kill: exit code $code"
            cat err
        } >>faults
        "$program" evaluate stopped >out 2>err || cat err >>faults
    done
    report "killed ten times: the folder can be loaded each time" faults
    step=$(newest stopped)
    train stopped $((step + 6))
    train once $((step + 6)) --threads 1
    same once stopped $((step + 6))
    find stopped -name '*.tmp*' >>faults
    report "killed ten times: the same bits at the end, nothing left behind" faults
}

make_data
: >faults
case $subject in
models) models ;;
input) input ;;
optimizers) optimizers ;;
signals) signals ;;
*) echo "Bail out! there is no subject '$subject'" && exit 2 ;;
esac
exit $result

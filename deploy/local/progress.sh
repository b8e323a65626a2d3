# Progress of set-up, for setup.sh to read in: one line a step, on a terminal with the time that is left.
# shellcheck shell=sh

# Where there is a terminal, its line is written anew each second.
on_terminal=no
if [ -t 1 ] && [ "${TERM:-dumb}" != dumb ]; then
    on_terminal=yes
fi

# What a step takes in seconds where all of it has to be done: measured on 2 cores, with a mirror nearby.
typical_s() {
    case $1 in
        packages) echo 40 ;;
        environment) echo 12 ;;
        libraries) echo 5 ;;
        kafka) echo 8 ;;
    esac
}

# How this machine compares, in percent of what is typical; from the steps that are done.
pace=100
took_s=0
took_typical_s=0

# learn_pace STEP SECONDS: a step that had nothing left to do tells nothing.
learn_pace() {
    if [ $(($2 * 4)) -ge "$(typical_s "$1")" ]; then
        took_s=$((took_s + $2))
        took_typical_s=$((took_typical_s + $(typical_s "$1")))
        pace=$((took_s * 100 / took_typical_s))
    fi
}

# time_left ELAPSED_S STEP [LATER_STEP ...]: in words, for the whole of set-up. It promises nothing for a
# step that takes longer than it should.
time_left() {
    left_s=$(($(typical_s "$2") * pace / 100 - $1))
    if [ "$left_s" -le 0 ]; then
        echo 'longer than usual'
        return
    fi
    shift 2
    for later in "$@"; do
        left_s=$((left_s + $(typical_s "$later") * pace / 100))
    done
    # Nobody believes an estimate to the second.
    [ "$left_s" -le 10 ] || left_s=$(((left_s + 4) / 5 * 5))
    echo "about $left_s s left"
}

# ---- The line on the terminal ----

ticker=

# start_ticker LINE STEP [LATER_STEP ...]: beside the step, which stays in the foreground for Ctrl-C.
start_ticker() {
    [ "$on_terminal" = yes ] || return 0
    # It must not hold the lock of set-up (9) when that has died.
    tick "$@" 9>&- &
    ticker=$!
}

tick() {
    line=$1
    shift
    begun_s=$(date +%s)
    columns=$(stty size <&1 2>/dev/null | cut -d ' ' -f 2)
    # A line that goes on in the next one could not be written anew: room for the figures, and no more.
    room=$((${columns:-80} - 35))
    [ "$room" -ge 20 ] || room=20
    while sleep 1 && kill -0 "$$" 2>/dev/null; do
        elapsed_s=$(($(date +%s) - begun_s))
        printf "\r\033[K%.${room}s ... %s s, %s" "$line" "$elapsed_s" "$(time_left "$elapsed_s" "$@")"
    done
}

# stop_ticker: the line is empty then, and the step's own is next.
stop_ticker() {
    [ -n "$ticker" ] || return 0
    kill "$ticker" 2>/dev/null || :
    wait "$ticker" 2>/dev/null || :
    ticker=
    printf '\r\033[K'
}

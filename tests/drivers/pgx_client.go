// pgx: prepared statements of its cache, binary results, batches, COPY, large results, savepoints, notifications, cancel, a pool, and
// database/sql over it. Connects by PG* variables.
package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
	_ "github.com/jackc/pgx/v4/stdlib"
)

const large = 2000 // Rows of app.keyed.

var (
	everything = context.Background()
	number     int
)

func expect(found, wanted interface{}) {
	if !reflect.DeepEqual(found, wanted) {
		fmt.Printf("round %d: %v instead of %v\n", number, found, wanted)
		os.Exit(1)
	}
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("round %d: %v", number, err))
	}
}

func expectState(err error, state string) {
	var server *pgconn.PgError
	if !errors.As(err, &server) || server.Code != state {
		panic(fmt.Sprintf("round %d: %v instead of %s", number, err, state))
	}
}

func keep(db *pgx.Conn) (port int) {
	client, list, word := "pgx", "a,b", "busy"
	raw := []byte{0, byte(number), 255}
	moment := time.Date(2026, 1, 1, number, 0, 0, 0, time.UTC)
	tags := []*string{&client, &list, nil}
	must(db.BeginFunc(everything, func(transaction pgx.Tx) error {
		_, err := transaction.Exec(everything, "INSERT INTO app.kept VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", client, number, word,
			float64(number)+0.25, tags, map[string]int{"n": number}, raw, moment)
		must(err)
		inner := transaction.BeginFunc(everything, func(savepoint pgx.Tx) error {
			_, err := savepoint.Exec(everything, "SELECT 1 / (id - id) FROM app.account")
			return err
		})
		expectState(inner, "22012")
		return transaction.QueryRow(everything, "SELECT inet_server_port()").Scan(&port)
	}))
	var mood string
	var price float64
	var foundTags []*string
	var doc map[string]int
	var foundRaw []byte
	var foundMoment time.Time
	must(db.QueryRow(everything, "SELECT mood, price, tags, doc, raw, moment FROM app.kept WHERE client = $1 AND number = $2", client,
		number).Scan(&mood, &price, &foundTags, &doc, &foundRaw, &foundMoment))
	expect(mood, "busy")
	expect(price, float64(number)+0.25)
	expect(foundTags, tags)
	expect(doc["n"], number)
	expect(bytes.Equal(foundRaw, raw) && foundMoment.Equal(moment), true)
	return port
}

func much(db *pgx.Conn) {
	batch := &pgx.Batch{}
	for i := 1; i <= 5; i++ {
		batch.Queue("SELECT id FROM app.hard WHERE id = $1 AND mood = ANY(enum_range(NULL::app.mood))", i)
		batch.Queue("INSERT INTO app.loose VALUES ($1, 'batch', $2)", number, i)
	}
	results := db.SendBatch(everything, batch)
	for i := 1; i <= 5; i++ {
		var id int
		must(results.QueryRow().Scan(&id))
		expect(id, i)
		_, err := results.Exec()
		must(err)
	}
	must(results.Close())
	rows := [][]interface{}{{number, "copy", 1.5}, {number, nil, 2.5}}
	copied, err := db.CopyFrom(everything, pgx.Identifier{"app", "loose"}, []string{"a", "b", "c"}, pgx.CopyFromRows(rows))
	must(err)
	expect(copied, int64(2))
	answer, err := db.Query(everything, "SELECT id, body FROM app.keyed WHERE id > $1", 0)
	must(err)
	seen := 0
	for answer.Next() {
		seen++
	}
	must(answer.Err())
	expect(seen, large)
}

func cancel(db *pgx.Conn) {
	ended := make(chan error)
	go func() {
		_, err := db.Exec(everything, "SELECT pg_sleep(30)")
		ended <- err
	}()
	for again := time.NewTicker(10 * time.Millisecond); ; { // A cancel may come before the server has begun.
		select {
		case err := <-ended:
			again.Stop()
			expectState(err, "57014")
			return
		case <-again.C:
			must(db.PgConn().CancelRequest(everything))
		}
	}
}

func standard(db *sql.DB) {
	transaction, err := db.Begin()
	must(err)
	for id, amount := range map[int]int{23: number, 24: -number} {
		_, err := transaction.Exec("UPDATE app.account SET balance = balance + $1 WHERE id = $2", amount, id)
		must(err)
	}
	must(transaction.Commit())
	statement, err := db.Prepare("SELECT mood FROM app.hard WHERE id = $1")
	must(err)
	var mood string
	must(statement.QueryRow(1).Scan(&mood))
	expect(mood, "busy")
	must(statement.Close())
}

func main() {
	var over int32
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() { <-signals; atomic.StoreInt32(&over, 1) }()

	db, err := pgx.Connect(everything, "options='-c app.tenant=pgx'")
	must(err)
	_, err = db.Exec(everything, "LISTEN pgx")
	must(err)
	pool, err := pgxpool.Connect(everything, "pool_max_conns=2")
	must(err)
	plain, err := sql.Open("pgx", "")
	must(err)
	for atomic.LoadInt32(&over) == 0 {
		number++
		port := keep(db)
		much(db)
		cancel(db)
		var tenant string
		must(db.QueryRow(everything, "SELECT current_setting('app.tenant')").Scan(&tenant))
		expect(tenant, "pgx")
		standard(plain)
		_, err = pool.Exec(everything, "SELECT pg_notify('pgx', $1)", fmt.Sprint(number))
		must(err)
		notice, err := db.WaitForNotification(everything)
		must(err)
		expect(notice.Payload, fmt.Sprint(number))
		other, err := pgx.Connect(everything, "")
		must(err)
		expect(other.PgConn().ParameterStatus("server_encoding"), "UTF8")
		must(other.Close(everything))
		fmt.Printf("round %d port %d\n", number, port)
	}
	pool.Close()
	must(plain.Close())
	must(db.Close(everything))
}

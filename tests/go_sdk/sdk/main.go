// Drives the public Go SDK, unmodified, against a running merchant API: every deposit call and every kind of error.
// It prints one line a step and ends with 1 when one of them went wrong.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	sdk "github.com/wmwallet/wm-wallet-sdk"
	"github.com/wmwallet/wm-wallet-sdk/deposit"
	"github.com/wmwallet/wm-wallet-sdk/withdraw"
)

var failed int

func step(name string, err error) {
	if err != nil {
		failed++
		fmt.Printf("FAIL %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok   %s\n", name)
}

func want(held bool, format string, args ...any) error {
	if held {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// wantError says whether an error came and carries the words.
func wantError(err error, words string) error {
	if err == nil {
		return errors.New("no error came")
	}
	return want(strings.Contains(err.Error(), words), "the error is %q, without %q", err, words)
}

type files struct{ ca, cert, key, publicKey string }

func merchant(prefix string) files {
	return files{
		ca:        os.Getenv(prefix + "_CA"),
		cert:      os.Getenv(prefix + "_CERT"),
		key:       os.Getenv(prefix + "_KEY"),
		publicKey: os.Getenv(prefix + "_PUBLIC_KEY"),
	}
}

func client(broker string, f files) *sdk.WmWalletClient {
	made, err := sdk.Init(
		sdk.WithCustomer(broker),
		sdk.WithCertPath(f.ca, f.cert, f.key),
		sdk.WithSecretPath(f.publicKey),
	)
	if err != nil {
		fmt.Printf("FAIL the SDK does not load the files: %v\n", err)
		os.Exit(1)
	}
	return made
}

// set fills a field that only newer versions of the SDK have.
func set(target any, field string, value any) bool {
	found := reflect.ValueOf(target).Elem().FieldByName(field)
	if !found.IsValid() {
		return false
	}
	found.Set(reflect.ValueOf(value))
	return true
}

func order(source string, chain, coin int, fiat, symbol string) *deposit.CreateOrderReq {
	made := &deposit.CreateOrderReq{
		SourceId:   source,
		ChainId:    chain,
		CoinId:     coin,
		FiatAmount: decimal.RequireFromString(fiat),
		Symbol:     symbol,
	}
	set(made, "CallbackUrl", os.Getenv("WM_CALLBACK_URL"))
	return made
}

func deposits(ctx context.Context, name string, d *deposit.Deposit, run string) {
	source := fmt.Sprintf("%s-%s-1", name, run)
	first, err := d.Create(ctx, order(source, 1, 1, "7.2", "USDT/CNY"))
	if err != nil {
		step(name+": create", err)
		return
	}
	step(name+": create", want(
		first.SourceId == source && len(first.OrderId) == 32 && first.Amount.IsPositive() &&
			first.ExchangeRate.IsPositive() && first.Url != "" && first.ChainId == 1 && first.CoinId == 1 &&
			first.FiatAmount.Equal(decimal.RequireFromString("7.2")) && first.Symbol == "USDT/CNY",
		"%+v", first))

	again, err := d.Create(ctx, order(source, 1, 1, "7.2", "USDT/CNY"))
	if err == nil {
		err = want(*again == *first || again.OrderId == first.OrderId, "another order: %+v", again)
	}
	step(name+": create again answers with the first order", err)

	_, err = d.Create(ctx, order(source, 1, 1, "8", "USDT/CNY"))
	step(name+": other fields under the same id are refused", wantError(err, "order.exists_different"))

	detail, err := d.Detail(ctx, &deposit.GetDetailRequest{SourceId: source})
	if err == nil {
		err = want(detail.OrderId == first.OrderId && detail.Status == 0 && detail.StatusDesc == "Order Created" &&
			strings.HasPrefix(detail.Address, "T") && detail.Amount.Equal(first.Amount) && detail.Url != "", "%+v", detail)
	}
	step(name+": detail", err)

	_, err = d.Detail(ctx, &deposit.GetDetailRequest{SourceId: source + "-none"})
	step(name+": detail of an unknown id", wantError(err, "order.not_found"))

	_, err = d.Cancel(ctx, &deposit.CancelOrderReq{SourceId: source + "-none"})
	step(name+": cancel of an unknown id", wantError(err, "order.not_found"))

	_, err = d.Cancel(ctx, &deposit.CancelOrderReq{SourceId: source})
	step(name+": cancel", err)

	detail, err = d.Detail(ctx, &deposit.GetDetailRequest{SourceId: source})
	if err == nil {
		err = want(detail.Status == 12 && detail.StatusDesc == "User Cancel", "%+v", detail)
	}
	step(name+": detail after cancel", err)

	_, err = d.Cancel(ctx, &deposit.CancelOrderReq{SourceId: source})
	step(name+": cancel again", wantError(err, "order.not_cancellable"))

	ton := fmt.Sprintf("%s-%s-ton", name, run)
	if _, err = d.Create(ctx, order(ton, 2, 1, "100.5", "USDT/CNY")); err == nil {
		if detail, err = d.Detail(ctx, &deposit.GetDetailRequest{SourceId: ton}); err == nil {
			err = want(strings.HasPrefix(detail.Address, "UQ") && len(detail.Tag) >= 8, "%+v", detail)
		}
	}
	step(name+": an order on TON has address and tag", err)
}

func refusals(ctx context.Context, d *deposit.Deposit, run string) {
	_, err := d.Create(ctx, order("go-"+run+"-chain", 99, 1, "7.2", "USDT/CNY"))
	step("an unknown chain", wantError(err, "chain_id"))
	_, err = d.Create(ctx, order("go-"+run+"-zero", 1, 1, "0", "USDT/CNY"))
	step("no amount", wantError(err, "fiat_amount"))
	_, err = d.Create(ctx, order("go-"+run+"-negative", 1, 1, "-1", "USDT/CNY"))
	step("a negative amount", wantError(err, "request.invalid"))
	_, err = d.Create(ctx, order("go-"+run+"-places", 1, 1, "1.0000000000000000001", "USDT/CNY"))
	step("too many places", wantError(err, "request.invalid"))
	_, err = d.Create(ctx, order("go-"+run+"-symbol", 1, 1, "7.2", "BTC/CNY"))
	step("a symbol without the coin", wantError(err, "symbol"))
	_, err = d.Create(ctx, order("", 1, 1, "7.2", "USDT/CNY"))
	step("no source_id", wantError(err, "source_id"))
	bad := order("go-"+run+"-callback", 1, 1, "7.2", "USDT/CNY")
	if set(bad, "CallbackUrl", "ftp://merchant.example/x") {
		_, err = d.Create(ctx, bad)
		step("a callback URL of another scheme", wantError(err, "callback_url"))
	}
}

func controlled(ctx context.Context, d *deposit.Deposit, run string) {
	made := order("go-"+run+"-rate", 2, 1, "100.5", "USDT/USD")
	if !set(made, "ExchangeRate", decimal.RequireFromString("1.005")) || !set(made, "Amount", decimal.NewFromInt(100)) {
		fmt.Println("--   this version of the SDK cannot control the rate")
		return
	}
	set(made, "Lang", "en")
	answer, err := d.Create(ctx, made)
	if err == nil {
		err = want(answer.Amount.Equal(decimal.NewFromInt(100)), "%+v", answer)
	}
	step("rate and amount of the merchant's own", err)
	made = order("go-"+run+"-disagree", 2, 1, "100.5", "USDT/USD")
	set(made, "ExchangeRate", decimal.RequireFromString("1.005"))
	set(made, "Amount", decimal.NewFromInt(90))
	_, err = d.Create(ctx, made)
	step("rate and amount that disagree", wantError(err, "order.price_disagrees"))
}

// preOrder finds the call by its name, which older versions of the SDK do not have.
func preOrder(ctx context.Context, d *deposit.Deposit, run string) {
	kind := reflect.TypeOf(d)
	for at := range kind.NumMethod() {
		method := kind.Method(at)
		if !strings.Contains(method.Name, "Pre") || method.Type.NumIn() != 3 {
			continue
		}
		request := reflect.New(method.Type.In(2).Elem())
		set(request.Interface(), "SourceId", "go-"+run+"-pre")
		set(request.Interface(), "Coin", "USDT")
		set(request.Interface(), "FiatAmount", decimal.NewFromInt(25))
		set(request.Interface(), "SuccessUrl", "https://merchant.example/ok")
		results := method.Func.Call([]reflect.Value{reflect.ValueOf(d), reflect.ValueOf(ctx), request})
		err, _ := results[1].Interface().(error)
		if err == nil {
			found := results[0].Elem().FieldByName("PayUrl")
			err = want(found.IsValid() && found.String() != "", "%+v", results[0].Interface())
		}
		step("pre-order by "+method.Name, err)
		detail, err := d.Detail(ctx, &deposit.GetDetailRequest{SourceId: "go-" + run + "-pre"})
		if err == nil {
			err = want(detail.ChainId == 0 && detail.CoinId == 0 && detail.Address == "" && detail.Amount.IsZero(), "%+v", detail)
		}
		step("detail of a pre-order before the pick", err)
		_, err = d.Cancel(ctx, &deposit.CancelOrderReq{SourceId: "go-" + run + "-pre"})
		step("cancel of a pre-order before the pick", err)
		return
	}
	fmt.Println("--   this version of the SDK has no pre-order")
}

func withdrawals(ctx context.Context, w *withdraw.Withdraw, run string) {
	request := &withdraw.CreateOrderReq{
		SourceId: "go-" + run + "-w",
		ChainId:  2,
		CoinId:   1,
		Address:  "UQAB0bw8P7UPqmDzx5cA8nz_4YWWMGNin6gD7prFpd3QACX3",
		Tag:      "42",
		Amount:   decimal.NewFromInt(4),
	}
	_, err := w.Create(ctx, request)
	step("a withdrawal is refused in words", wantError(err, "withdraw"))
	_, err = w.Detail(ctx, &withdraw.GetDetailRequest{SourceId: "go-" + run + "-w"})
	step("a withdrawal that is not there", wantError(err, "not_found"))
}

func strangers(ctx context.Context, url, broker string, mine files, run string) {
	other, wrongKey := merchant("WM_OTHER"), mine
	wrongKey.publicKey = os.Getenv("WM_WRONG_PUBLIC_KEY")
	words := map[string]string{}
	for name, made := range map[string]*sdk.WmWalletClient{
		"another broker id":                   client("somebody-else", mine),
		"another merchant's certificate":      client(broker, other),
		"another platform's key for w-secret": client(broker, wrongKey),
	} {
		_, err := deposit.NewDeposit(made, url).Create(ctx, order("go-"+run+"-x", 1, 1, "7.2", "USDT/CNY"))
		step(name, wantError(err, "refused"))
		if err != nil {
			words[err.Error()] = name
		}
	}
	step("all of them read the same", want(len(words) == 1, "%v", words))
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, broker, mine := os.Getenv("WM_URL"), os.Getenv("WM_BROKER"), merchant("WM")
	run := fmt.Sprintf("%d", time.Now().UnixNano())

	encrypted := client(broker, mine)
	d := deposit.NewDeposit(encrypted, url)
	deposits(ctx, "encrypted", d, run)
	refusals(ctx, d, run)
	controlled(ctx, d, run)
	preOrder(ctx, d, run)
	withdrawals(ctx, withdraw.NewWithdraw(encrypted, url), run)
	strangers(ctx, url, broker, mine, run)

	plain, err := sdk.Init(sdk.WithCustomer(broker), sdk.WithTest(true))
	step("the SDK's plain mode starts", err)
	deposits(ctx, "plain", deposit.NewDeposit(plain, os.Getenv("WM_PLAIN_URL")), run)
	nobody, _ := sdk.Init(sdk.WithCustomer("nobody-here"), sdk.WithTest(true))
	_, err = deposit.NewDeposit(nobody, os.Getenv("WM_PLAIN_URL")).Detail(ctx, &deposit.GetDetailRequest{SourceId: "x"})
	step("plain mode of an unknown broker", wantError(err, "refused"))

	fmt.Printf("%d failed\n", failed)
	if failed > 0 {
		os.Exit(1)
	}
}

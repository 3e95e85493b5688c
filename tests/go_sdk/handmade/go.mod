module example.test/bitlinkpay/handmade

go 1.22

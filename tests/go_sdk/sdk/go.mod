module example.test/bitlinkpay/sdk

go 1.22

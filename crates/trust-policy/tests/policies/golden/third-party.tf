resource "aws_iam_role" "third_party" {
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        Principal = {
          AWS = "arn:aws:iam::123456789012:root"
        }
        Condition = {
          StringEquals = {
            "sts:ExternalId" = "a+b=c,d.e@f:g/h-i_1"
          }
        }
      },
    ]
  })
}
